// The certificate that new TLS connections are offered.
#pragma once

#include <memory>
#include <mutex>

#include "base/result.h"
#include "http/server.h"

namespace boost::asio::ssl {
class context;
}

namespace fastchat::http {

/// Any thread.
class TlsCertificate {
 public:
  /// Throws Failure for files that are no certificate chain and its key, in PEM.
  explicit TlsCertificate(TlsOptions options);

  /// Reads the files again. After an error the certificate is the one it was.
  Result<void> reload();

  /// For one connection, which keeps it.
  std::shared_ptr<boost::asio::ssl::context> current() const;

 private:
  const TlsOptions options_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> current_;
};

}  // namespace fastchat::http
