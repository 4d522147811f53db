#include "serve/cli/conversation.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "serve/cli/utf8.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

using Json = nlohmann::ordered_json;  // the field order of FastChat's files

// A chat is a few kilobytes; this keeps a mistaken file name from filling memory.
constexpr std::uintmax_t kMaxFileBytes = 64u << 20;

Error bad_file(std::string message) {
  return Error{ErrorCode::invalid_request, std::move(message)};
}

std::string string_field(const Json& json, const char* name, std::string fallback) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>()
                                                   : std::move(fallback);
}

// [[role, text], …] with the file's names for the two roles.
Result<std::vector<Conversation::Message>> read_messages(const Json& list,
                                                         const std::array<std::string, 2>& roles) {
  std::vector<Conversation::Message> messages;
  for (std::size_t index = 0; index < list.size(); ++index) {
    const Json& entry = list[index];
    const bool is_pair = entry.is_array() && entry.size() == 2 && entry[0].is_string();
    if (!is_pair || !(entry[1].is_string() || entry[1].is_null()))
      return bad_file(say_with(
          "messages[{}]: expected [role, text]", "messages[{}]：应为 [角色，文字]", index));
    const std::string role = entry[0].get<std::string>();
    if (role != roles[0] && role != roles[1])
      return bad_file(say_with("messages[{}]: role '{}' is neither '{}' nor '{}'",
                               "messages[{}]：角色 '{}' 既不是 '{}' 也不是 '{}'",
                               index,
                               role,
                               roles[0],
                               roles[1]));
    if (entry[1].is_null()) continue;  // an answer that had not been given yet
    // Some templates name both roles alike; then they take turns.
    const bool is_user = roles[0] == roles[1] ? index % 2 == 0 : role == roles[0];
    messages.push_back({is_user ? Conversation::Speaker::user : Conversation::Speaker::assistant,
                        entry[1].get<std::string>()});
  }
  return messages;
}

}  // namespace

Conversation::Conversation(std::string template_name,
                           std::array<std::string, 2> roles,
                           std::string system_message,
                           const std::vector<std::string>& examples)
    : template_name_(std::move(template_name)),
      roles_(std::move(roles)),
      system_message_(std::move(system_message)),
      offset_(examples.size()) {
  for (std::size_t i = 0; i < examples.size(); ++i)
    messages_.push_back({i % 2 == 0 ? Speaker::user : Speaker::assistant, examples[i]});
}

void Conversation::add_user(std::string text) {
  messages_.push_back({Speaker::user, std::move(text)});
}

void Conversation::add_assistant(std::string text, bool stopped) {
  messages_.push_back({Speaker::assistant, std::move(text), stopped});
}

void Conversation::drop_last(Speaker speaker) {
  if (!empty() && messages_.back().speaker == speaker) messages_.pop_back();
}

bool Conversation::remove_last_exchange() {
  if (empty()) return false;
  drop_last(Speaker::assistant);
  drop_last(Speaker::user);
  return true;
}

std::optional<std::string> Conversation::take_last_question() {
  drop_last(Speaker::assistant);
  if (empty() || messages_.back().speaker != Speaker::user) return std::nullopt;
  std::string question = std::move(messages_.back().text);
  messages_.pop_back();
  return question;
}

std::vector<ChatTurn> Conversation::turns() const {
  std::vector<ChatTurn> turns;
  if (!system_message_.empty()) turns.push_back({"system", system_message_});
  for (const Message& message : messages_)
    turns.push_back({message.speaker == Speaker::user ? "user" : "assistant", message.text});
  return turns;
}

std::string Conversation::to_json() const {
  Json json;
  json["template_name"] = template_name_;
  json["system_message"] = system_message_;
  json["roles"] = roles_;
  json["messages"] = Json::array();
  Json stopped = Json::array();
  for (std::size_t index = 0; index < messages_.size(); ++index) {
    const Message& message = messages_[index];
    json["messages"].push_back(
        {message.speaker == Speaker::user ? roles_[0] : roles_[1], message.text});
    if (message.stopped) stopped.push_back(index);
  }
  json["offset"] = offset_;
  if (!stopped.empty()) json["stopped"] = stopped;  // ours; FastChat does not look at it
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Conversation> Conversation::from_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return bad_file(say("not JSON", "不是 JSON"));
  if (!json.is_object() || !json.contains("messages") || !json["messages"].is_array())
    return bad_file(say("not a saved chat: expected an object with a list \"messages\"",
                        "不是已保存的对话：应为含有列表 \"messages\" 的对象"));
  Conversation conversation;
  conversation.template_name_ = string_field(json, "template_name", conversation.template_name_);
  conversation.system_message_ = string_field(json, "system_message", "");
  if (const auto roles = json.find("roles"); roles != json.end()) {
    if (!roles->is_array() || roles->size() != 2 || !(*roles)[0].is_string() ||
        !(*roles)[1].is_string())
      return bad_file(say("roles: expected the two names of user and assistant",
                          "roles：应为用户与助手的两个名称"));
    conversation.roles_ = {(*roles)[0].get<std::string>(), (*roles)[1].get<std::string>()};
  }
  auto messages = read_messages(json["messages"], conversation.roles_);
  if (!messages) return messages.error();
  conversation.messages_ = std::move(*messages);
  if (const auto offset = json.find("offset"); offset != json.end()) {
    if (!offset->is_number_integer() || offset->get<std::int64_t>() < 0 ||
        offset->get<std::uint64_t>() > conversation.messages_.size())
      return bad_file(say_with("offset: expected a number from 0 to {}",
                               "offset：应为 0 到 {} 之间的数",
                               conversation.messages_.size()));
    conversation.offset_ = offset->get<std::size_t>();
  }
  if (const auto stopped = json.find("stopped"); stopped != json.end() && stopped->is_array())
    for (const Json& index : *stopped)
      if (index.is_number_unsigned() && index.get<std::size_t>() < conversation.messages_.size())
        conversation.messages_[index.get<std::size_t>()].stopped = true;
  return conversation;
}

Result<void> save_conversation(const Conversation& conversation,
                               const std::filesystem::path& file) {
  // The temporary name is unique, so that two chats saving to one name do not mix.
  std::string temporary = file.string() + ".XXXXXX";
  const auto failed = [&](int error) {
    return bad_file(
        say_with("cannot save {}: {}", "无法保存 {}：{}", file.string(), system_text(error)));
  };
  const int fd = mkstemp(temporary.data());
  if (fd < 0) return failed(errno);
  const mode_t mask = umask(0);
  umask(mask);
  fchmod(fd, 0666 & ~mask);  // mkstemp makes it private; a save file is like any other
  const std::string json = conversation.to_json();
  std::size_t done = 0;
  while (done < json.size()) {
    const ssize_t written = write(fd, json.data() + done, json.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  int error = done == json.size() ? 0 : errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), file.c_str()) != 0) error = errno;
  if (error == 0) return {};
  unlink(temporary.c_str());
  return failed(error);
}

Result<Conversation> load_conversation(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error))
    return Error{ErrorCode::not_found,
                 say_with("cannot load {}: not a file", "无法加载 {}：不是文件", file.string())};
  if (std::filesystem::file_size(file, error) > kMaxFileBytes)
    return bad_file(say_with("cannot load {}: larger than a saved chat can be",
                             "无法加载 {}：比任何已保存的对话都大",
                             file.string()));
  std::ifstream in(file, std::ios::binary);
  if (!in)
    return bad_file(
        say_with("cannot load {}: {}", "无法加载 {}：{}", file.string(), system_text(errno)));
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  Result<Conversation> conversation = Conversation::from_json(replace_invalid_utf8(bytes));
  if (!conversation)
    return bad_file(say_with(
        "cannot load {}: {}", "无法加载 {}：{}", file.string(), conversation.error().message));
  return conversation;
}

std::filesystem::path save_name(const std::string& name) {
  std::filesystem::path file(name);
  if (file.filename().string().find('.') == std::string::npos) file += ".json";
  return file;
}

std::optional<std::filesystem::path> existing_name(const std::string& name) {
  std::error_code error;
  if (std::filesystem::is_regular_file(name, error)) return name;
  if (std::filesystem::is_regular_file(name + ".json", error)) return name + ".json";
  return std::nullopt;
}

}  // namespace fastchat::serve
