#include "http/tls.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/ssl.h>
#include <boost/asio/ssl/context.hpp>

#include "base/check.h"

namespace fastchat::http {
namespace {

namespace ssl = boost::asio::ssl;

// Clients that offer HTTP/2 as well learn that it is not spoken here.
int select_http_1_1(SSL* /*connection*/,
                    const unsigned char** chosen,
                    unsigned char* chosen_length,
                    const unsigned char* offered,
                    unsigned int offered_length,
                    void* /*argument*/) {
  static constexpr std::string_view kProtocol = "\x08http/1.1";
  auto* selected = const_cast<unsigned char*>(offered);
  const int result = SSL_select_next_proto(&selected,
                                           chosen_length,
                                           reinterpret_cast<const unsigned char*>(kProtocol.data()),
                                           kProtocol.size(),
                                           offered,
                                           offered_length);
  *chosen = selected;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

std::shared_ptr<ssl::context> load(const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
  // A connection that waits gives back its buffers, some 34 kB.
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(native, select_http_1_1, nullptr);

  boost::system::error_code error;
  context->use_certificate_chain_file(options.certificate_chain_file, error);
  check(!error,
        "TLS: expected a certificate chain in PEM in '{}': {}",
        options.certificate_chain_file,
        error.message());
  // Without this OpenSSL would ask on the terminal.
  context->set_password_callback(
      [](std::size_t, ssl::context::password_purpose) { return std::string(); });
  context->use_private_key_file(options.key_file, ssl::context::pem, error);
  check(!error,
        "TLS: expected the private key of '{}', in PEM and without a passphrase, in '{}': {}",
        options.certificate_chain_file,
        options.key_file,
        error.message());
  check(SSL_CTX_check_private_key(native) == 1,
        "TLS: the key in '{}' is not that of the certificate in '{}'",
        options.key_file,
        options.certificate_chain_file);
  return context;
}

}  // namespace

TlsCertificate::TlsCertificate(TlsOptions options)
    : options_(std::move(options)), current_(load(options_)) {}

Result<void> TlsCertificate::reload() {
  try {
    auto loaded = load(options_);
    const std::lock_guard lock(mutex_);
    current_ = std::move(loaded);
    return {};
  } catch (const Failure& failure) {
    return Error{ErrorCode::invalid_request,
                 fmt::format("{}; the certificate loaded before stays in use", failure.what())};
  }
}

std::shared_ptr<ssl::context> TlsCertificate::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

}  // namespace fastchat::http
