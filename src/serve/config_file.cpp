#include "serve/config_file.h"

#include <algorithm>
#include <fstream>
#include <istream>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "serve/language.h"
#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

std::string trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kBlanks) + 1 - first));
}

bool is_quote(char c) { return c == '"' || c == '\''; }

std::string unquoted(std::string text) {
  const bool is_quoted = text.size() >= 2 && is_quote(text.front()) && text.front() == text.back();
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

/// The members of "8GiB, '1,5'": commas within quotes separate nothing.
std::vector<std::string> members(std::string_view list) {
  std::vector<std::string> parts(1);
  char quote = '\0';
  for (const char c : list) {
    if (quote == '\0' && c == ',') {
      parts.emplace_back();
      continue;
    }
    if (quote == '\0' && is_quote(c))
      quote = c;
    else if (c == quote)
      quote = '\0';
    parts.back() += c;
  }
  for (std::string& part : parts) part = unquoted(trimmed(part));
  if (parts.back().empty()) parts.pop_back();  // "[8GiB, 16GiB,]", "[]"
  return parts;
}

std::vector<std::string> values_of(const std::string& text) {
  const bool is_list = text.size() >= 2 && text.front() == '[' && text.back() == ']';
  if (is_list) return members(std::string_view(text).substr(1, text.size() - 2));
  return {unquoted(text)};
}

Error malformed(int line, std::string_view text) {
  return {ErrorCode::invalid_request,
          fmt::format("{}: {}",
                      line,
                      say_with("'{}' is no setting; expected a line such as temperature=0.2",
                               "'{}' 不是设置；每行应形如 temperature=0.2",
                               text))};
}

/// A setting's form, for whoever gave none: "max-gpu-memory=SIZE[,…]".
std::string form_of(const CLI::Option& option, const std::string& name) {
  const std::string type = option.get_type_name();
  return fmt::format("{}={}", name, type.substr(0, type.find(':')));
}

}  // namespace

Result<std::vector<Setting>> read_settings(std::istream& file) {
  std::vector<Setting> settings;
  int line = 0;
  for (std::string text; std::getline(file, text);) {
    ++line;
    text = trimmed(text);
    if (text.empty() || text.front() == '#' || text.front() == ';' || text == "[default]") continue;
    const std::size_t equals = text.find('=');
    Setting setting{.name = trimmed(text.substr(0, equals)), .values = {}, .line = line};
    if (setting.name.empty() || setting.name.find_first_of(" \t[]:\"'") != std::string::npos)
      return malformed(line, text);
    setting.name.erase(0, setting.name.find_first_not_of('-'));
    std::replace(setting.name.begin(), setting.name.end(), '_', '-');
    if (equals != std::string::npos)
      setting.values = values_of(trimmed(std::string_view(text).substr(equals + 1)));
    settings.push_back(std::move(setting));
  }
  return settings;
}

std::vector<Setting> settings_of(const std::string& file_name) {
  std::ifstream file(file_name);
  Result<std::vector<Setting>> settings = read_settings(file);
  return settings ? std::move(settings).value() : std::vector<Setting>();
}

std::vector<CLI::ConfigItem> ConfigFile::from_config(std::istream& input) const {
  const Result<std::vector<Setting>> settings = read_settings(input);
  if (!settings) {
    const std::string& message = settings.error().message;  // "3: …"
    const std::size_t colon = message.find(": ");
    fail_at(std::stoi(message.substr(0, colon)), std::string_view(message).substr(colon + 2));
  }
  std::vector<CLI::ConfigItem> items;
  for (const Setting& setting : *settings) items.push_back(item_of(setting));
  return items;
}

std::string ConfigFile::to_config(const CLI::App* /*app*/,
                                  bool /*default_also*/,
                                  bool /*write_description*/,
                                  std::string /*prefix*/) const {
  return {};
}

CLI::ConfigItem ConfigFile::item_of(const Setting& setting) const {
  CLI::ConfigItem item;
  item.name = setting.name;
  item.inputs = setting.values;
  const std::string dashes = setting.name.size() == 1 ? "-" : "--";
  const CLI::Option* const option = app_.get_option_no_throw(dashes + setting.name);
  if (option == nullptr || !option->get_configurable()) {
    std::vector<std::string> names;
    for (const CLI::Option* each : app_.get_options())
      for (const std::string& name : each->get_lnames()) names.push_back(name);
    const std::vector<std::string_view> candidates(names.begin(), names.end());
    const std::string_view meant = nearest_name(setting.name, candidates);
    fail_at(setting.line,
            say_with("there is no setting '{}'", "没有设置 '{}'", setting.name) +
                (meant.empty() ? std::string()
                               : say_with("; did you mean {}?", "；是不是 {}？", meant)));
  }
  const bool is_flag = option->get_expected_min() == 0;
  if (is_flag && item.inputs.empty()) item.inputs = {"true"};
  if (const char delimiter = option->get_delimiter(); delimiter != '\0') {
    std::vector<std::string> parts;
    for (const std::string& value : item.inputs)
      for (std::string& part : members(value)) parts.push_back(std::move(part));
    item.inputs = std::move(parts);
  } else if (option->get_expected_max() == 1 && item.inputs.size() > 1) {
    item.inputs = {fmt::format("{}", fmt::join(item.inputs, ","))};
  }
  if (item.inputs.empty())
    fail_at(setting.line,
            say_with("'{}' has no value; expected {}",
                     "'{}' 没有值；应为 {}",
                     setting.name,
                     form_of(*option, setting.name)));
  return item;
}

void ConfigFile::fail_at(int line, std::string_view message) const {
  const std::vector<std::string>& names = app_.get_config_ptr()->results();
  throw CLI::ValidationError(
      "--config",
      fmt::format("{}:{}: {}", names.empty() ? std::string() : names.back(), line, message));
}

}  // namespace fastchat::serve
