// Typed access to the keys of a JSON configuration, with errors that name file, key, expected and
// found.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace fastchat::model {

/// `text` between quotes for an error message: control characters escaped, long texts cut. Names in
/// checkpoints are a stranger's bytes.
std::string in_quotes(std::string_view text);

/// Parses a JSON file of at most `max_bytes`. Throws Failure naming the file when it is missing,
/// larger or not JSON.
nlohmann::json read_json_file(const std::filesystem::path& file, std::uint64_t max_bytes);

/// Looks at one JSON object, which outlives it. A key whose value is null counts as absent.
class ConfigReader {
 public:
  /// `origin` is the file as error messages shall name it; `prefix` is the path of keys that led
  /// here. Throws Failure when `object` is not a JSON object.
  ConfigReader(const nlohmann::json& object, std::string origin, std::string prefix = "");

  bool has(std::string_view key) const { return find(key) != nullptr; }
  /// The key is there and its value is null, where that means something else than silence.
  bool is_null(std::string_view key) const;
  const std::string& origin() const { return origin_; }

  /// An integer in [1, max]. The form without fallback throws Failure when the key is absent.
  std::int64_t size(std::string_view key, std::int64_t max) const;
  std::int64_t size(std::string_view key, std::int64_t max, std::int64_t fallback) const;
  /// An integer of 0 or more.
  std::int64_t count(std::string_view key, std::int64_t fallback) const;
  /// A finite number above 0.
  double positive(std::string_view key) const;
  double positive(std::string_view key, double fallback) const;
  std::optional<double> optional_positive(std::string_view key) const;
  bool flag(std::string_view key, bool fallback) const;
  std::optional<std::string> text(std::string_view key) const;
  /// Exactly `count` finite numbers above 0.
  std::vector<double> positives(std::string_view key, std::size_t count) const;
  std::optional<std::vector<std::string>> texts(std::string_view key, std::size_t max_count) const;
  /// Token ids: one integer or an array of at most 4096; negative ones (some files say -1 for
  /// "none") are left out.
  std::vector<std::int32_t> token_ids(std::string_view key) const;
  std::optional<ConfigReader> object(std::string_view key) const;

  /// Throws Failure: "<origin>: "<key>": expected <expected>, found <its value>".
  [[noreturn]] void reject(std::string_view key, std::string_view expected) const;

 private:
  const nlohmann::json* find(std::string_view key) const;

  const nlohmann::json* object_;
  std::string origin_;
  std::string prefix_;
};

}  // namespace fastchat::model
