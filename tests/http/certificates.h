// Self-signed certificates for tests.
#pragma once

#include <filesystem>
#include <string>

#include "http/server.h"

namespace fastchat::http {

/// A folder that goes with its object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Writes a new certificate for `name`, and its key, into `folder`, over those that are there.
TlsOptions write_certificate(const std::filesystem::path& folder, const std::string& name);

void write_file(const std::filesystem::path& path, const std::string& content);

}  // namespace fastchat::http
