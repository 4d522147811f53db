// The file of --config: lines such as temperature=0.2.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.h"

namespace fastchat::serve {

/// One line of the file.
struct Setting {
  std::string name;  // as flags have it, without dashes in front: "max-gpu-memory"
  /// What follows the "=", without quotes around it; of a list in brackets its members. Empty: the
  /// name stands alone.
  std::vector<std::string> values;
  int line = 0;  // from 1
};

/// Empty lines and those that begin with # or ; are comments; a `_` in a name means `-`. Errors
/// (invalid_request): "3: what was expected there", 3 being the line.
Result<std::vector<Setting>> read_settings(std::istream& file);
/// The same of a file by its name; empty where it cannot be read or is malformed.
std::vector<Setting> settings_of(const std::string& file_name);

/// Reads the file for CLI11. A list is given to an option as on the command line, with commas, and
/// needs neither quotes nor brackets.
class ConfigFile : public CLI::Config {
 public:
  /// `app` has its options already, and outlives this.
  explicit ConfigFile(const CLI::App& app) : app_(app) {}
  /// Throws CLI::ValidationError, with file and line, for a malformed line and for a name that is
  /// no setting.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
  /// Not offered.
  std::string to_config(const CLI::App* app,
                        bool default_also,
                        bool write_description,
                        std::string prefix) const override;

 private:
  CLI::ConfigItem item_of(const Setting& setting) const;
  [[noreturn]] void fail_at(int line, std::string_view message) const;

  const CLI::App& app_;
};

}  // namespace fastchat::serve
