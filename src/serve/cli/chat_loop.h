// The terminal chat: reads lines, runs `!!` commands, streams answers, keeps the conversation.
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "serve/cli/answer_view.h"
#include "serve/cli/chat_backend.h"
#include "serve/cli/chat_command.h"
#include "serve/cli/console.h"
#include "serve/cli/conversation.h"
#include "serve/cli/line_reader.h"

namespace fastchat::serve {

struct ChatOptions {
  ChatParams params;
  bool keep_history = true;
  bool multiline = false;  // a message goes on to the end of input (Ctrl-D on an empty line)
  bool debug = false;      // speeds after each answer
  RoleStyle role_style = RoleStyle::simple;
  bool rich = false;  // answers drawn as Markdown
};

/// Terminal thread only. Needs Interrupts: Ctrl-C stops an answer and keeps what was said of it; at
/// the prompt it says how to leave, and a second one in a row leaves.
class ChatLoop {
 public:
  /// `fresh` is the conversation to start with, and after !!reset.
  ChatLoop(ChatBackend& backend,
           Console& console,
           LineReader& reader,
           ChatOptions options,
           Conversation fresh);

  /// Until the user leaves or input ends. Throws OutputClosed.
  void run();
  /// One question without a dialogue: the answer and a newline, nothing else, on standard output.
  /// Returns the exit status: 0, 1 when there was no answer, 130 after Ctrl-C.
  int answer_once(const std::string& question);

 private:
  Line read_message();
  /// False when the user leaves.
  bool handle(const std::string& line);
  void regenerate();
  /// `offered`: the file that the line before was told it would overwrite.
  void save(const std::string& name, const std::filesystem::path& offered);
  void load(const std::string& name);
  /// Asks the model and adds question and answer to the conversation; neither when there is no
  /// answer.
  void ask(const std::string& question);
  void explain(const Generation& generation);
  void explain(const Error& error);
  void reprint();
  std::string user_label() const;
  std::string assistant_label() const;

  ChatBackend& backend_;
  Console& console_;
  LineReader& reader_;
  ChatOptions options_;
  std::unique_ptr<AnswerView> view_;
  Conversation fresh_;
  Conversation conversation_;
  std::set<std::filesystem::path> own_files_;  // loaded or saved here
  std::filesystem::path overwrite_offered_;    // by the line before
};

}  // namespace fastchat::serve
