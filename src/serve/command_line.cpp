#include "serve/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/log.h"
#include "serve/cli/styled_text.h"
#include "serve/config_file.h"
#include "serve/exit_status.h"
#include "serve/flag_checks.h"
#include "serve/language.h"
#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

// "--max_new_tokens=5" → "--max-new-tokens=5"; values stay as they are.
std::string with_dashes(std::string argument) {
  if (!argument.starts_with("--")) return argument;
  const std::size_t end = std::min(argument.find('='), argument.size());
  std::replace(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(end), '_', '-');
  return argument;
}

// The flag that an argument abbreviates; the argument itself when it is a flag, or no beginning of
// exactly one.
std::string expand_abbreviation(const CLI::App& app, const std::string& argument) {
  if (!argument.starts_with("--") || argument.size() < 4) return argument;
  const std::size_t end = std::min(argument.find('='), argument.size());
  const std::string name = argument.substr(2, end - 2);
  std::vector<std::string> matches;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& long_name : option->get_lnames()) {
      if (long_name == name) return argument;
      if (long_name.starts_with(name)) matches.push_back(long_name);
    }
  }
  if (matches.size() != 1) return argument;
  return "--" + matches.front() + argument.substr(end);
}

std::string environment_name(const std::string& long_name) {
  std::string name = "FASTCHAT_" + long_name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return name;
}

// What is read where there is no flag for it, for people to set.
constexpr std::string_view kOtherVariables[] = {"FASTCHAT_CANN_PATH",
                                                "FASTCHAT_CARD_POOL",
                                                "FASTCHAT_CLOCK_DILATION",
                                                "FASTCHAT_CPU_ISA",
                                                "FASTCHAT_CPU_PIN",
                                                "FASTCHAT_GRAPH_LENGTHS",
                                                "FASTCHAT_LAUNCH_BLOCKING",
                                                "FASTCHAT_LOG",
                                                "FASTCHAT_USE_MODELSCOPE"};

// A variable that is nearly the name of a setting is a slip of the keyboard. Others are no business
// of ours: other verbs have settings of their own, the library and the tests have variables too.
void warn_of_misspelt_variables(const CLI::App& app) {
  static constexpr std::string_view kPrefix = "FASTCHAT_";
  std::vector<std::string> names(std::begin(kOtherVariables), std::end(kOtherVariables));
  for (const CLI::Option* option : app.get_options())
    if (!option->get_envname().empty()) names.push_back(option->get_envname());
  const auto slips = [](std::string_view name, std::string_view setting) {
    const std::size_t allowed = name.size() - kPrefix.size() < 6 ? 1 : 2;
    return edit_distance(name, setting) <= allowed;
  };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    const std::string_view name = variable.substr(0, variable.find('='));
    if (!name.starts_with(kPrefix) || std::find(names.begin(), names.end(), name) != names.end())
      continue;
    for (const std::string& setting : names) {
      if (!slips(name, setting)) continue;
      log::warn("{}",
                say_with("{} is no setting and is ignored; did you mean {}?",
                         "{} 不是设置，已忽略；是不是 {}？",
                         name,
                         setting));
      break;
    }
  }
}

// ---- what is wrong, in both languages: CLI11 has its messages in English

// "--modle-path" or "--modle-path=x": what was meant.
std::string unknown_flag(const CLI::App& app, const std::string& argument) {
  if (!argument.starts_with('-') || argument.size() < 2)
    return say_with("unexpected argument '{}'", "多余的参数 '{}'", argument);
  const std::string flag = argument.substr(0, argument.find('='));
  std::vector<std::string> names;
  std::vector<std::string> continued;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
      if (names.back().starts_with(flag)) continued.push_back(names.back());
    }
  std::string message = say_with("there is no flag {}", "没有参数 {}", flag);
  if (flag.size() > 3 && continued.size() > 1)
    return message + say_with("; it could be {}", "；可能是 {}", fmt::join(continued, ", "));
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  if (const std::string_view meant = nearest_name(flag, candidates); !meant.empty())
    message += say_with("; did you mean {}?", "；是不是 {}？", meant);
  return message;
}

// The part of CLI11's "NAME: message" or "Could not convert: NAME = value" behind `mark`.
std::string behind(const std::string& text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  return at == std::string::npos ? text : text.substr(at + mark.size());
}

std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  std::string what = error.what();
  const std::string kind = error.get_name();
  // (Of this kind alone CLI11 gives the app's name where the kind's should be.)
  const std::vector<std::string> extras = app.remaining();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty())
    return unknown_flag(app, extras.front());
  if (kind == "ConversionError") {
    const std::string pair = behind(what, ": ");  // "--top-p = x"
    return say_with("{}: '{}' is not a number",
                    "{}：'{}' 不是数字",
                    pair.substr(0, pair.find(" = ")),
                    behind(pair, " = "));
  }
  const std::string flag = what.substr(0, what.find(": "));
  if (kind == "ArgumentMismatch")
    return say_with("{} needs a value, one and not more", "{} 需要一个值，且只能有一个", flag);
  if (kind == "ExcludesError")
    return say_with("{} and {} cannot be given together",
                    "{} 与 {} 不能同时给出",
                    what.substr(0, what.find(" excludes ")),
                    behind(what, " excludes "));
  if (kind == "ValidationError")  // by our own checks
    return language() == Language::chinese ? flag + "：" + behind(what, ": ") : what;
  if (kind == "FileError")
    return say_with("--config: cannot read {}",
                    "--config：无法读取 {}",
                    what.substr(0, what.find(" was not readable")));
  return what;
}

// " (flags.ini, line 3)": where the file of --config says what is wrong; empty: the command line
// or the environment does.
std::string place_in_file(const CLI::App& app,
                          const CLI::ParseError& error,
                          const std::vector<std::string>& arguments) {
  const std::string what = error.what();
  const std::size_t start = what.find("--");
  const std::vector<std::string>& files = app.get_config_ptr()->results();
  if (start == std::string::npos || files.empty()) return {};
  const std::string flag = what.substr(start, what.find_first_of(": =", start) - start);
  for (const std::string& argument : arguments)
    if (argument == flag || argument.starts_with(flag + "=")) return {};
  for (const Setting& setting : settings_of(files.back()))
    if ("--" + setting.name == flag)
      return say_with(" ({}, line {})", "（{} 第 {} 行）", files.back(), setting.line);
  return {};
}

// CLI11's layout with our headings, and without the names of environment variables: one sentence
// says the rule.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(36);
    label("Usage", std::string(text("Usage", "用法")));
    label("OPTIONS", std::string(text("FLAGS", "参数")));
    for (const char* number : {"INT", "UINT", "FLOAT"}) label(number, "N");
  }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string line = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    std::size_t width = static_cast<std::size_t>(display_width(line));
    if (width >= get_column_width()) {
      line += '\n';
      width = 0;
    }
    const std::string margin(get_column_width(), ' ');
    std::string description = make_option_desc(option);
    for (std::size_t at = 0; (at = description.find('\n', at)) != std::string::npos; ++at)
      description.insert(at + 1, margin);
    return line + margin.substr(width) + description + "\n";
  }
  // Chinese headings have a colon of their own.
  std::string make_usage(const CLI::App* app, std::string name) const override {
    return with_full_width_colon(CLI::Formatter::make_usage(app, std::move(name)), ": ");
  }
  std::string make_group(std::string group,
                         bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    return with_full_width_colon(
        CLI::Formatter::make_group(std::move(group), is_positional, std::move(options)), ":\n");
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    // CLI11 appends what the validators say: "FLOAT:FLOAT in [0 - 1]".
    const std::string type = option->get_type_name();
    std::string out = " " + get_label(type.substr(0, type.find(':')));
    if (!option->get_default_str().empty()) out += "=" + option->get_default_str();
    return out;
  }

 private:
  static std::string with_full_width_colon(std::string section, std::string_view colon) {
    if (language() == Language::english) return section;
    const std::size_t at = section.find(colon);
    if (at != std::string::npos)
      section.replace(at, colon.size(), colon.ends_with('\n') ? "：\n" : "：");
    return section;
  }
};

}  // namespace

std::string find_flag(int argc, char** argv, const std::string& flag) {
  for (int index = 1; index < argc; ++index) {
    const std::string argument = with_dashes(argv[index]);
    if (argument == flag && index + 1 < argc) return argv[index + 1];
    if (argument.starts_with(flag + "=")) return argument.substr(flag.size() + 1);
  }
  return "";
}

std::string find_setting(int argc, char** argv, const std::string& name) {
  std::string value = find_flag(argc, argv, "--" + name);
  if (!value.empty()) return value;
  if (const std::string file = find_flag(argc, argv, "--config"); !file.empty()) {
    for (const Setting& setting : settings_of(file))
      if (setting.name == name && !setting.values.empty()) value = setting.values.back();
  }
  if (!value.empty()) return value;
  const char* const variable = std::getenv(environment_name(name).c_str());
  return variable == nullptr ? std::string() : std::string(variable);
}

std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv) {
  // Read by main before the verb runs; declared here to be accepted and explained.
  const std::string group(text("General", "通用"));
  std::string language_flag;
  std::string log_level;
  app.add_option("--lang",
                 language_flag,
                 std::string(text("messages in en or zh (default: from the locale)",
                                  "消息语言：en 或 zh（默认按系统语言）")))
      ->check(one_of({"en", "zh"}))
      ->type_name("en|zh")
      ->group(group);
  app.add_option("--log-level",
                 log_level,
                 std::string(text("how much to log to standard error (default: warn)",
                                  "标准错误中的日志级别（默认 warn）")))
      ->check(one_of({"debug", "info", "warn", "error"}))
      ->type_name("debug|info|warn|error")
      ->group(group);
  for (CLI::Option* option : app.get_options())
    if (!option->get_lnames().empty() && option->get_lnames().front() != "help")
      option->envname(environment_name(option->get_lnames().front()));
  app.set_config("--config",
                 "",
                 std::string(text("read flags from a file of lines such as temperature=0.2",
                                  "从文件读取参数，每行形如 temperature=0.2")))
      ->type_name("FILE")
      ->group(group);
  app.config_formatter(std::make_shared<ConfigFile>(app));
  app.set_help_flag("-h,--help", std::string(text("this help", "显示本帮助")))->group(group);
  for (CLI::Option* option : app.get_options())
    if (option->get_group() == "Options") option->group(say("Options", "选项"));  // CLI11's default
  app.formatter(std::make_shared<HelpFormatter>());

  std::vector<std::string> arguments;
  bool flags_ended = false;
  for (int index = 1; index < argc; ++index) {
    flags_ended = flags_ended || std::string_view(argv[index]) == "--";
    arguments.push_back(flags_ended ? std::string(argv[index])
                                    : expand_abbreviation(app, with_dashes(argv[index])));
  }
  const std::vector<std::string> given = arguments;  // the parse consumes its own
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const std::string help = app.help();
    std::fwrite(help.data(), 1, help.size(), stdout);
    return 0;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr,
               "{}{}{}{}\n{}\n",
               app.get_name(),
               text(": ", "："),
               explain(app, error),
               place_in_file(app, error, given),
               say_with("try: {} --help", "请看：{} --help", app.get_name()));
    return kUsage;
  }
  warn_of_misspelt_variables(app);
  return std::nullopt;
}

}  // namespace fastchat::serve
