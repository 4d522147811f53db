#include "serve/cli/chat_loop.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "serve/cli/interrupts.h"
#include "serve/cli/utf8.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

constexpr int kInterruptedStatus = 130;

double per_second(std::int64_t count, std::chrono::duration<double> time) {
  return time.count() > 0 ? static_cast<double>(count) / time.count() : 0.0;
}

std::string_view finish_text(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop:
      return text("stop", "正常结束");
    case engine::FinishReason::length:
      return text("length", "达到长度上限");
    case engine::FinishReason::cancelled:
      return text("cancelled", "被中断");
    case engine::FinishReason::error:
      return text("error", "出错");
    case engine::FinishReason::none:
      break;
  }
  return {};
}

// "prompt 35 tokens (32 cached), first token after 12.3 ms, prefill 243.9 tokens/s; …"
std::string speeds(const Generation& generation) {
  const std::int64_t prefilled = generation.num_prompt_tokens - generation.num_cached_tokens;
  return say_with(
      "[prompt {} tokens, {} of them cached; first token after {:.1f} ms, prefill {:.1f} tokens/s; "
      "answer {} tokens, "
      "decode {:.1f} tokens/s; finish: {}]",
      "[提示 {} 个 token，其中缓存 {} 个；首 token {:.1f} 毫秒，预填充 {:.1f} token/秒；回答 {} 个 "
      "token，"
      "解码 {:.1f} token/秒；结束原因：{}]",
      generation.num_prompt_tokens,
      generation.num_cached_tokens,
      generation.time_to_first_token.count() * 1e3,
      per_second(prefilled, generation.time_to_first_token),
      generation.num_output_tokens,
      // The first token belongs to the prefill.
      per_second(generation.num_output_tokens - 1, generation.decode_time),
      finish_text(generation.finish_reason));
}

std::string_view help_text() {
  return text(
      "!!exit          leave (also: an empty line, Ctrl-D)\n"
      "!!reset         start a new conversation\n"
      "!!remove        drop the last question and its answer\n"
      "!!regen         answer the last question again\n"
      "!!save FILE     save the conversation (JSON, as FastChat does; .json is added to a bare "
      "name);\n"
      "                a file that is not from this chat is overwritten the second time only\n"
      "!!load FILE     go on with a saved conversation\n"
      "!!help          this list\n"
      "Ctrl-C          stop the answer, or clear the line; twice on an empty line: leave\n"
      "Tab             completes commands\n"
      "Alt-Enter       a new line inside the message; a pasted text stays one message\n",
      "!!exit          退出（空行或 Ctrl-D 也可）\n"
      "!!reset         开始新的对话\n"
      "!!remove        删除最后一问一答\n"
      "!!regen         重新回答最后一个问题\n"
      "!!save 文件     保存对话（与 FastChat 相同的 JSON；没有扩展名时加 .json）；\n"
      "                若文件已存在且不是本次对话的，再输入一次才覆盖\n"
      "!!load 文件     继续已保存的对话\n"
      "!!help          显示本说明\n"
      "Ctrl-C          停止当前回答，或清除已输入的文字；空行上连按两次则退出\n"
      "Tab             补全命令\n"
      "Alt-Enter       在消息内换行；粘贴的多行文字作为一条消息\n");
}

}  // namespace

ChatLoop::ChatLoop(ChatBackend& backend,
                   Console& console,
                   LineReader& reader,
                   ChatOptions options,
                   Conversation fresh)
    : backend_(backend),
      console_(console),
      reader_(reader),
      options_(std::move(options)),
      view_(options_.rich ? make_rich_answer_view(console_) : make_plain_answer_view(console_)),
      fresh_(std::move(fresh)),
      conversation_(fresh_) {}

// Programs get the template's own names, as from FastChat.
std::string ChatLoop::user_label() const {
  if (options_.role_style == RoleStyle::programmatic) return conversation_.roles()[0];
  return say("USER", "用户");
}
std::string ChatLoop::assistant_label() const {
  if (options_.role_style == RoleStyle::programmatic) return conversation_.roles()[1];
  return say("ASSISTANT", "助手");
}

void ChatLoop::run() {
  bool asked_to_leave = false;
  for (;;) {
    const Line line = read_message();
    if (line.kind == Line::Kind::interrupted && line.discarded) {  // cleared a line, as in a shell
      asked_to_leave = false;
      continue;
    }
    if (line.kind == Line::Kind::interrupted && !std::exchange(asked_to_leave, true)) {
      console_.write(say("(Ctrl-C again, Ctrl-D or !!exit leaves; !!help lists the commands)\n",
                         "（再按一次 Ctrl-C、按 Ctrl-D 或输入 !!exit 退出；!!help 列出命令）\n"));
      continue;
    }
    if (line.kind != Line::Kind::text || line.text.empty()) break;
    asked_to_leave = false;
    if (!handle(line.text)) break;
  }
  console_.write(say("exit...\n", "再见。\n"));
}

Line ChatLoop::read_message() {
  if (!options_.multiline) return reader_.read_line(user_label());
  Line message = reader_.read_line(user_label() + say(" [Ctrl-D on an empty line ends the message]",
                                                      "（空行按 Ctrl-D 结束消息）"));
  if (message.kind != Line::Kind::text ||
      parse_chat_command(message.text).kind != ChatCommand::Kind::none)
    return message;
  for (;;) {
    Line next = reader_.read_line("");
    if (next.kind == Line::Kind::interrupted) {
      next.discarded = true;  // the lines before it
      return next;
    }
    if (next.kind == Line::Kind::end_of_input) return message;
    message.text += "\n" + next.text;
  }
}

bool ChatLoop::handle(const std::string& line) {
  const ChatCommand command = parse_chat_command(line);
  const std::filesystem::path offered = std::exchange(overwrite_offered_, {});
  switch (command.kind) {
    case ChatCommand::Kind::exit:
      return false;
    case ChatCommand::Kind::reset:
      console_.write(say("resetting...\n", "已重新开始对话。\n"));
      conversation_ = fresh_;
      break;
    case ChatCommand::Kind::remove:
      if (conversation_.remove_last_exchange()) {
        console_.write(say("removing last message...\n", "已删除最后一问一答。\n"));
        reprint();
      } else {
        console_.write(say("No messages to remove.\n", "没有可删除的消息。\n"));
      }
      break;
    case ChatCommand::Kind::regen:
      regenerate();
      break;
    case ChatCommand::Kind::save:
      save(command.argument, offered);
      break;
    case ChatCommand::Kind::load:
      load(command.argument);
      break;
    case ChatCommand::Kind::help:
      console_.write(help_text());
      break;
    case ChatCommand::Kind::unknown:
      console_.write(say_with("There is no command {}. !!help lists the commands.\n",
                              "没有命令 {}。!!help 列出全部命令。\n",
                              command.argument));
      break;
    case ChatCommand::Kind::misspelt:
      console_.write(say_with("Did you mean {}? !!help lists the commands.\n",
                              "是不是 {}？!!help 列出全部命令。\n",
                              command.argument));
      break;
    case ChatCommand::Kind::none:
      if (line.find_first_not_of(" \t\n") != std::string::npos) {
        if (!options_.keep_history) conversation_ = fresh_;
        ask(line);
      }
      break;
  }
  return true;
}

void ChatLoop::regenerate() {
  const std::optional<std::string> question = conversation_.take_last_question();
  if (!question) {
    console_.write(say("No messages to regenerate.\n", "没有可重新回答的消息。\n"));
    return;
  }
  console_.write(say("regenerating last message...\n", "重新回答最后一个问题……\n"));
  ask(*question);
}

void ChatLoop::save(const std::string& name, const std::filesystem::path& offered) {
  if (name.empty()) {
    console_.write(say("usage: !!save <filename>\n", "用法：!!save <文件名>\n"));
    return;
  }
  const std::filesystem::path file = save_name(name);
  std::error_code no_error;
  const std::filesystem::path whole = std::filesystem::weakly_canonical(file, no_error);
  // A program that drives the chat expects FastChat's way, which is to overwrite.
  const bool careful = options_.role_style != RoleStyle::programmatic;
  if (careful && std::filesystem::exists(file, no_error) && !own_files_.contains(whole) &&
      offered != whole) {
    overwrite_offered_ = whole;
    console_.note(
        say_with("{} exists, and is not from this chat: not saved. The same command once "
                 "more overwrites it.",
                 "{} 已存在，且不是本次对话的文件，因此没有保存。再输入一次同样的命令则覆盖。",
                 file.string()));
    return;
  }
  if (const Result<void> saved = save_conversation(conversation_, file); saved) {
    own_files_.insert(std::filesystem::weakly_canonical(file, no_error));
    console_.write(say_with("saved {}\n", "已保存 {}\n", file.string()));
  } else {
    console_.note(saved.error().message);
  }
}

void ChatLoop::load(const std::string& name) {
  if (name.empty()) {
    console_.write(say("usage: !!load <filename>\n", "用法：!!load <文件名>\n"));
    return;
  }
  const std::optional<std::filesystem::path> file = existing_name(name);
  if (!file) {
    console_.note(say_with("file not found: {}", "找不到文件：{}", name));
    return;
  }
  Result<Conversation> loaded = load_conversation(*file);
  if (!loaded) {
    console_.note(loaded.error().message);
    console_.note(say("The current conversation is kept.", "当前对话保持不变。"));
    return;
  }
  conversation_ = std::move(*loaded);
  std::error_code no_error;
  own_files_.insert(std::filesystem::weakly_canonical(*file, no_error));
  console_.write(say_with("loaded {}\n", "已加载 {}\n", file->string()));
  reprint();
}

void ChatLoop::ask(const std::string& question) {
  conversation_.add_user(question);
  console_.write_role(assistant_label());
  // A Ctrl-C since the line was read is meant for this answer.
  std::string answer;
  view_->begin(AnswerView::Place::behind_role);
  const Result<Generation> generation = backend_.generate(
      conversation_.turns(),
      options_.params,
      [&](std::string_view piece) {
        answer += piece;
        view_->add(piece);
      },
      [this] {
        view_->tick();
        return Interrupts::interrupted();
      });
  view_->finish();
  const bool stopped = generation && generation->finish_reason == engine::FinishReason::cancelled;
  Interrupts::clear();  // one that came as the answer ended is no wish to leave
  if (stopped) console_.write(say("stopped generation.\n", "已停止生成。\n"));

  const bool failed = !generation || generation->finish_reason == engine::FinishReason::error;
  if (failed || (stopped && answer.empty())) {
    // A question without an answer would confuse the model's template; arrow-up brings it back.
    conversation_.take_last_question();
    reader_.remember(question);
  } else {
    conversation_.add_assistant(std::move(answer), stopped);
  }
  if (generation)
    explain(*generation);
  else
    explain(generation.error());
}

void ChatLoop::explain(const Generation& generation) {
  if (generation.finish_reason == engine::FinishReason::error)
    console_.note(say_with("The answer failed: {}", "回答失败：{}", generation.error));
  if (generation.finish_reason == engine::FinishReason::length && generation.context_full)
    console_.note(say_with(
        "(The answer ends here: the context of {} tokens is full. !!reset starts anew, "
        "!!remove makes room.)",
        "（回答在此中断：{} 个 token 的上下文已满。!!reset 重新开始，!!remove 腾出空间。）",
        generation.num_prompt_tokens + generation.num_output_tokens));
  else if (generation.finish_reason == engine::FinishReason::length)
    console_.note(say_with("(The answer ends here: it reached --max-new-tokens {}.)",
                           "（回答在此中断：已达到 --max-new-tokens {}。）",
                           generation.num_output_tokens));
  if (options_.debug) console_.note(speeds(generation));
}

void ChatLoop::explain(const Error& error) {
  console_.note(say_with("No answer: {}", "无法回答：{}", error.message));
  if (error.code == ErrorCode::context_too_long)
    console_.note(say(
        "The conversation no longer fits the model's context; your last message was left out. "
        "!!reset starts anew, !!remove drops the last exchange; a larger --max-model-len may help.",
        "对话超出了模型的上下文，最后一条消息没有加入。"
        "!!reset 重新开始，!!remove 删除最后一问一答；也可以加大 --max-model-len。"));
}

void ChatLoop::reprint() {
  const auto& messages = conversation_.messages();
  for (std::size_t index = conversation_.offset(); index < messages.size(); ++index) {
    const Conversation::Message& message = messages[index];
    if (message.speaker == Conversation::Speaker::user) {
      console_.write_role(user_label());
      console_.write_foreign(message.text + "\n");
    } else {
      console_.write_role(assistant_label());
      view_->show(message.text);
      if (message.stopped) console_.write(say("[stopped]\n", "【已停止】\n"));
    }
  }
}

int ChatLoop::answer_once(const std::string& question) {
  conversation_.add_user(question);
  view_->begin(AnswerView::Place::own_line);
  const Result<Generation> generation = backend_.generate(
      conversation_.turns(),
      options_.params,
      [this](std::string_view piece) { view_->add(piece); },
      [this] {
        view_->tick();
        return Interrupts::interrupted();
      });
  if (!generation) {  // what the chat's commands could do about it is of no use here
    console_.note(say_with("No answer: {}", "无法回答：{}", generation.error().message));
    return 1;
  }
  view_->finish();
  explain(*generation);
  if (generation->finish_reason == engine::FinishReason::cancelled) return kInterruptedStatus;
  return generation->finish_reason == engine::FinishReason::error ? 1 : 0;
}

}  // namespace fastchat::serve
