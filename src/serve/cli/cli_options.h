// The flags of `fastchat cli`.
#pragma once

#include <optional>
#include <string>

#include "serve/cli/chat_loop.h"
#include "serve/model_options.h"

namespace CLI {  // NOLINT(readability-identifier-naming): their name
class App;
}

namespace fastchat::serve {

struct CliOptions {
  ModelOptions model;
  ChatOptions chat;
  std::string system_message;    // --conv-system-msg
  std::string conv_template;     // --conv-template
  std::string style = "simple";  // --style
  bool mouse =
      false;  // --mouse: of the rich style, without effect in the simple one, as in FastChat
  std::optional<std::string> message;  // --message
};

/// Declares the flags, with FastChat's names and defaults where FastChat has them, and ours.
/// `options` outlives the parse.
void add_cli_options(CLI::App& app, CliOptions& options);

}  // namespace fastchat::serve
