// Who may use the API.
#pragma once

#include <array>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastchat::serve::api {

/// Keys are kept as SHA-256 digests, so that neither memory nor file tells them. Immutable once
/// serving.
class ApiKeys {
 public:
  /// Without any key everybody may come.
  bool empty() const { return keys_.empty(); }
  void add(std::string name, std::string_view key);
  /// Lines "NAME KEY" or "NAME sha256:HEX"; empty ones and those that begin with # are comments.
  /// Errors: invalid_request, naming the line, not what is in it.
  Result<void> add_file(std::istream& file);
  /// The name of the key; nullptr where there is none. Takes as long whichever it is.
  const std::string* find(std::string_view key) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Key {
    std::string name;
    Digest digest;
  };
  static Digest digest_of(std::string_view key);
  static std::optional<Digest> parse_digest(std::string_view hex);

  std::vector<Key> keys_;
};

}  // namespace fastchat::serve::api
