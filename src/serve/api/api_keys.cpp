#include "serve/api/api_keys.h"

#include <charconv>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace fastchat::serve::api {

void ApiKeys::add(std::string name, std::string_view key) {
  keys_.push_back({.name = std::move(name), .digest = digest_of(key)});
}

Result<void> ApiKeys::add_file(std::istream& file) {
  constexpr std::string_view kHashed = "sha256:";
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string name, key, rest;
    words >> name >> key >> rest;
    if (name.empty() || name.starts_with('#')) continue;
    const auto refuse_line = [&](std::string_view why) {
      return Error{ErrorCode::invalid_request,
                   fmt::format("line {}: {}, expected NAME KEY or NAME sha256:HEX", number, why)};
    };
    if (key.empty()) return refuse_line("there is no key");
    if (!rest.empty()) return refuse_line("there are more than two words");
    if (!key.starts_with(kHashed)) {
      add(name, key);
      continue;
    }
    const std::optional<Digest> digest = parse_digest(std::string_view(key).substr(kHashed.size()));
    if (!digest) return refuse_line("sha256: is not followed by 64 hexadecimal digits");
    keys_.push_back({.name = name, .digest = *digest});
  }
  return {};
}

const std::string* ApiKeys::find(std::string_view key) const {
  const Digest digest = digest_of(key);
  const std::string* found = nullptr;
  for (const Key& each : keys_)
    if (CRYPTO_memcmp(each.digest.data(), digest.data(), digest.size()) == 0) found = &each.name;
  return found;
}

ApiKeys::Digest ApiKeys::digest_of(std::string_view key) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

std::optional<ApiKeys::Digest> ApiKeys::parse_digest(std::string_view hex) {
  Digest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const char* const begin = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, digest[i], 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
  }
  return digest;
}

}  // namespace fastchat::serve::api
