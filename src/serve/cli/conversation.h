// The conversation of a terminal chat, and FastChat's file format for it.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/cli/chat_backend.h"

namespace fastchat::serve {

/// Messages in order. Fields are those of FastChat's save file, and keep what a loaded file said,
/// so that saving gives Python FastChat back what it can read.
class Conversation {
 public:
  enum class Speaker { user, assistant };
  struct Message {
    Speaker speaker = Speaker::user;
    std::string text;
    bool stopped = false;  // the answer was cut by Ctrl-C
  };

  Conversation() = default;
  /// `template_name` and `roles` (the names of user and assistant) as FastChat's template has them;
  /// `examples` are the template's own turns, the user's first.
  Conversation(std::string template_name,
               std::array<std::string, 2> roles,
               std::string system_message,
               const std::vector<std::string>& examples = {});

  const std::vector<Message>& messages() const { return messages_; }
  /// Messages before this one are examples of the template or of a loaded file: part of the prompt,
  /// never shown or removed.
  std::size_t offset() const { return offset_; }
  bool empty() const { return messages_.size() <= offset_; }
  /// The names of user and assistant in the template.
  const std::array<std::string, 2>& roles() const { return roles_; }
  const std::string& system_message() const { return system_message_; }

  void add_user(std::string text);
  void add_assistant(std::string text, bool stopped);
  /// Drops the last answer and its question. False when there is nothing to drop.
  bool remove_last_exchange();
  /// Takes the last question off, dropping its answer. Nothing when there is none.
  std::optional<std::string> take_last_question();

  /// What the model is given: the system message when there is one, then all messages.
  std::vector<ChatTurn> turns() const;

  std::string to_json() const;
  /// Errors: invalid_request saying which field is wrong and what was expected.
  static Result<Conversation> from_json(std::string_view json);

 private:
  void drop_last(Speaker speaker);

  std::string template_name_ = "zero_shot";
  std::array<std::string, 2> roles_ = {"Human", "Assistant"};
  std::string system_message_;
  std::vector<Message> messages_;
  std::size_t offset_ = 0;
};

/// Writes the file whole or not at all (a temporary one beside it, then a rename). Errors:
/// invalid_request with the system's reason.
Result<void> save_conversation(const Conversation& conversation, const std::filesystem::path& file);
/// Errors: not_found, invalid_request (unreadable, too large, not a conversation).
Result<Conversation> load_conversation(const std::filesystem::path& file);

/// "chat" → "chat.json"; a name that has an extension stays.
std::filesystem::path save_name(const std::string& name);
/// The file `name`, else `name`.json, whichever exists; nothing when neither does.
std::optional<std::filesystem::path> existing_name(const std::string& name);

}  // namespace fastchat::serve
