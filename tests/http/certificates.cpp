#include "tests/http/certificates.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/check.h"

namespace fastchat::http {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File create(const std::string& path) { return {std::fopen(path.c_str(), "w"), std::fclose}; }

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "http_test_XXXXXX").string();
  check(mkdtemp(name.data()) != nullptr, "no folder {}", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

TlsOptions write_certificate(const std::filesystem::path& folder, const std::string& name) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(
      subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  X509_sign(certificate.get(), key.get(), EVP_sha256());

  TlsOptions files{(folder / "certificate.pem").string(), (folder / "key.pem").string()};
  PEM_write_X509(create(files.certificate_chain_file).get(), certificate.get());
  PEM_write_PrivateKey(
      create(files.key_file).get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return files;
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path) << content;
}

}  // namespace fastchat::http
