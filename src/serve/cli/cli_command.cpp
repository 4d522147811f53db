// `fastchat cli`: loads the model, then chats.
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/log.h"
#include "serve/cli/chat_loop.h"
#include "serve/cli/cli_options.h"
#include "serve/cli/engine_backend.h"
#include "serve/cli/interrupts.h"
#include "serve/cli/load_progress.h"
#include "serve/cli/start_report.h"
#include "serve/cli/utf8.h"
#include "serve/clock_dilation.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/exit_status.h"
#include "serve/language.h"
#include "serve/model_instance.h"
#include "serve/model_path.h"
#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

/// All names, those that contain `wanted` and then the ones most like it first.
std::vector<std::string_view> template_names(std::string_view wanted) {
  std::vector<std::string_view> names;
  for (const text::ConversationTemplate& known : text::conversation_templates())
    names.push_back(known.name);
  const auto distance = [wanted](std::string_view name) {
    return std::pair(name.find(wanted) == name.npos, edit_distance(wanted, name));
  };
  if (!wanted.empty())
    std::stable_sort(names.begin(), names.end(), [&](std::string_view a, std::string_view b) {
      return distance(a) < distance(b);
    });
  return names;
}

/// The template of --conv-template; nullptr without the flag.
const text::ConversationTemplate* chosen_template(const CliOptions& options) {
  if (options.conv_template.empty()) return nullptr;
  const Result<const text::ConversationTemplate*> found =
      text::find_conversation_template(options.conv_template);
  if (!found)
    throw UsageFailure(
        say_with("--conv-template: FastChat has no template '{}'. It has, the "
                 "closest names first:\n  {}",
                 "--conv-template：FastChat 没有模板 '{}'。现有模板，最相近的在前：\n  {}",
                 options.conv_template,
                 fmt::join(template_names(options.conv_template), " ")));
  if (const auto prompt = text::render(**found, "", {}); !prompt)
    throw UsageFailure(
        say_with("--conv-template: the template {} belongs to a model behind an API "
                 "and has no prompt",
                 "--conv-template：模板 {} 属于通过 API 使用的模型，没有提示格式",
                 options.conv_template));
  return *found;
}

Conversation fresh_conversation(const text::ConversationTemplate& conversation,
                                const std::string& system_message) {
  return {std::string(conversation.name),
          {std::string(conversation.roles[0]), std::string(conversation.roles[1])},
          system_message.empty() ? std::string(conversation.system_message) : system_message,
          {conversation.examples.begin(), conversation.examples.end()}};
}

// The template and role names that Python FastChat needs to go on with a file saved here. Its
// registry knows chatml models under this name; anything else gets its plainest template.
Conversation fresh_conversation(const model::ModelConfig& config,
                                const std::string& system_message) {
  if (config.architecture.starts_with("Qwen2") || config.architecture.starts_with("Qwen3"))
    return {"qwen-7b-chat", {"<|im_start|>user", "<|im_start|>assistant"}, system_message};
  return {"zero_shot", {"Human", "Assistant"}, system_message};
}

// What a chat cannot do without. Asked before minutes of loading.
void require_text(const ModelOptions& options, bool needs_template) {
  if (options.model_path.empty())
    throw UsageFailure(
        say("a chat needs --model-path: a folder with config.json, weights, tokenizer and chat "
            "template",
            "对话需要 --model-path：包含 config.json、权重、分词器和对话模板的文件夹"));
  if (!needs_template) return;
  const Result<text::ChatTemplate> found = text::ChatTemplate::from_folder(options.model_path);
  if (found) return;
  check(found.error().code == ErrorCode::not_found, "{}", found.error().message);
  fail("{}{}{}",
       options.model_path,
       text(": ", "："),
       text("no chat template, neither chat_template.jinja nor \"chat_template\" in "
            "tokenizer_config.json. Base models "
            "have none: take the chat or instruct model, put its chat_template.jinja into the "
            "folder, or name one of FastChat's with --conv-template",
            "没有对话模板：既没有 chat_template.jinja，tokenizer_config.json 中也没有 "
            "\"chat_template\"。"
            "基座模型没有模板：请使用 chat 或 instruct 模型，或把它的 chat_template.jinja "
            "放入该文件夹，或用 --conv-template 指定 FastChat 的模板"));
}

int chat(EngineBackend& backend, CliOptions& options, Conversation fresh) {
  const Interrupts interrupts;
  const bool programmatic = options.chat.role_style == RoleStyle::programmatic;
  Console console(options.chat.role_style);
  std::unique_ptr<LineReader> reader;
  // libedit edits single lines, with new lines by Alt-Enter, which is --multiline of the rich style
  // as in FastChat. In the simple one it ends with Ctrl-D, which is the terminal driver's.
  if (programmatic)
    reader = make_programmatic_line_reader(console);
  else if (!options.message && (!options.chat.multiline || options.chat.rich))
    reader = make_edit_line_reader();
  if (options.chat.rich && reader) options.chat.multiline = false;
  if (!reader) reader = make_plain_line_reader(console);
  ChatLoop loop(backend, console, *reader, options.chat, std::move(fresh));
  try {
    if (options.message) return loop.answer_once(replace_invalid_utf8(*options.message));
    loop.run();
  } catch (const OutputClosed&) {
    // Whoever read the answers has gone: nothing is left to do, and nobody to tell.
  }
  return 0;
}

}  // namespace

int run_cli(int argc, char** argv) {
  CliOptions options;
  CLI::App app("", "fastchat cli");
  add_cli_options(app, options);
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;
  if (options.style == "programmatic") options.chat.role_style = RoleStyle::programmatic;
  options.chat.rich = options.style == "rich";
  if (options.conv_template == "list") {
    fmt::print("{}\n", fmt::join(template_names(""), "\n"));
    return 0;
  }
  const text::ConversationTemplate* const conversation = chosen_template(options);
  if (clock_dilation())
    log::warn("{}",
              say("FASTCHAT_CLOCK_DILATION: these devices are simulated and compute nothing; "
                  "answers mean nothing",
                  "FASTCHAT_CLOCK_DILATION：设备为模拟，不做任何计算；回答没有意义"));
  resolve_model_path(options.model);
  require_text(options.model, conversation == nullptr);

  // A script that asks one question wants the answer only; progress and report are for people.
  const bool is_terminal = isatty(STDERR_FILENO) == 1;
  const bool reports = !options.message || is_terminal;
  std::unique_ptr<ModelInstance> model;
  {
    LoadProgress progress(STDERR_FILENO, is_terminal);
    model = std::make_unique<ModelInstance>(options.model,
                                            [&](std::uint64_t done, std::uint64_t total) {
                                              if (reports) progress.update(done, total);
                                            });
  }
  check(model->tokenizer() != nullptr,
        fmt::runtime(text("{}: no tokenizer", "{}：没有分词器")),
        options.model.model_path);  // dummy weights load without
  if (reports) fmt::print(stderr, "{}", start_report(*model, !options.message));
  const std::string system_message = replace_invalid_utf8(options.system_message);
  if (conversation == nullptr) {
    EngineBackend backend(model->engine(),
                          *model->tokenizer(),
                          model_prompts(*model->tokenizer(), *model->chat_template()));
    return chat(backend, options, fresh_conversation(model->config(), system_message));
  }
  ChatParams& params = options.chat.params;
  params.stop.insert(
      params.stop.end(), conversation->stop_strings.begin(), conversation->stop_strings.end());
  for (const std::int32_t id : conversation->stop_token_ids)  // ids of the family's own vocabulary
    if (id < model->config().vocab_size) params.sampling.stop_token_ids.push_back(id);
  EngineBackend backend(model->engine(),
                        *model->tokenizer(),
                        conversation_prompts(*model->tokenizer(), *conversation));
  return chat(backend, options, fresh_conversation(*conversation, system_message));
}

}  // namespace fastchat::serve
