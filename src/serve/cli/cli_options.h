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
  bool judge_sent_end = false;   // --judge-sent-end
  bool mouse =
      false;  // --mouse: of the rich style, without effect in the simple one, as in FastChat
  std::optional<std::string> message;  // --message
};

/// Declares the flags, with FastChat's names and defaults where FastChat has them, and ours.
/// `options` outlives the parse.
void add_cli_options(CLI::App& app, CliOptions& options);

/// What was asked for and is not there yet. Throws Failure saying so: a flag is never ignored in
/// silence.
void refuse_what_comes_later(const CliOptions& options);

}  // namespace fastchat::serve
