// The `!!` commands of the terminal chat, as typed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastchat::serve {

struct ChatCommand {
  enum class Kind { none, exit, reset, remove, regen, save, load, help, misspelt, unknown };
  Kind kind = Kind::none;  // none: the line is a message to the model
  std::string argument;  // file of save and load; may be empty. For misspelt: the command that was
                         // meant; for unknown: the word itself
};

/// As in FastChat, a command is a whole line, and only save and load take an argument. A word after
/// `!!` that is almost a command is `misspelt`, a lone word that is none `unknown`; any other line
/// is a message.
ChatCommand parse_chat_command(std::string_view line);

/// The commands that begin with `beginning`, in the order of !!help.
std::vector<std::string_view> chat_commands(std::string_view beginning);

}  // namespace fastchat::serve
