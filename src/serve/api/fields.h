// Reading a request's JSON: each field once, with errors that name it, and what is left over.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/errors.h"
#include "text/files.h"

namespace fastchat::serve::api {

/// What is no UTF-8 becomes U+FFFD.
std::string json_text(const text::Json& json);

/// Parses a body. Throws ApiError: not JSON (with the place), not an object, nested too deeply.
text::Json parse_body(std::string_view body);

/// The fields of a JSON object. A field that is null counts as absent, as clients send it for
/// "default". All throw ApiError naming field, what was expected and what came. Keeps a reference.
class Fields {
 public:
  /// `prefix`: what stands before names in messages ("stream_options.").
  explicit Fields(const text::Json& object, std::string prefix = {});

  bool has(const std::string& name);
  std::optional<bool> boolean(const std::string& name);
  std::optional<double> number(const std::string& name, double least, double most);
  std::optional<std::int64_t> integer(const std::string& name,
                                      std::int64_t least,
                                      std::int64_t most);
  std::optional<std::string> string(const std::string& name);
  std::string required_string(const std::string& name);
  /// One string, or several.
  std::optional<std::vector<std::string>> strings(const std::string& name, std::size_t most);
  /// nullptr: absent.
  const text::Json* object(const std::string& name);
  const text::Json* array(const std::string& name);
  const text::Json* any(const std::string& name);

  /// Names that nobody has asked for, as they came.
  std::vector<std::string> others() const;

  /// Throws that the field is of a wrong type.
  [[noreturn]] void expected(const std::string& name,
                             std::string_view what,
                             const text::Json& came) const;
  std::string full_name(const std::string& name) const { return prefix_ + name; }

 private:
  const text::Json& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> asked_;
};

/// The fields of the object at `index` of `array`, whose name is `name`. Throws ApiError where it
/// is none. Keeps a reference.
Fields element(const text::Json& array, std::size_t index, const std::string& name);

/// "a number", "a string", …, for messages.
std::string describe_type(const text::Json& value);

}  // namespace fastchat::serve::api
