// What every verb's command line shares: language, abbreviations, configuration file, environment
// variables.
#pragma once

#include <optional>
#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): their name
class App;
}

namespace fastchat::serve {

/// The value of `flag` ("--lang") in argv, before any parsing: help texts need the language before
/// flags are declared. Empty when absent.
std::string find_flag(int argc, char** argv, const std::string& flag);
/// The value of --`name` ("lang") from wherever parse_command_line takes it: argv, the file of
/// --config, the environment. Empty when absent, or when the file cannot be read: then the parse
/// says so.
std::string find_setting(int argc, char** argv, const std::string& name);

/// Adds --help, --lang, --log-level and --config to `app`, gives every flag its environment
/// variable (--top-p is FASTCHAT_TOP_P), and parses. As in FastChat, `_` in a flag means `-`, and
/// unambiguous beginnings of flags do
/// (--model for --model-path). Prints help to standard output, or what is wrong to standard error.
/// Returns the exit status when the program ends here (0 after help, 2 for a wrong usage), else
/// nothing.
std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv);

}  // namespace fastchat::serve
