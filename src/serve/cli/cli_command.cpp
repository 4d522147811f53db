// `fastchat cli`: loads the model, then chats.
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/check.h"
#include "serve/cli/chat_loop.h"
#include "serve/cli/cli_options.h"
#include "serve/cli/engine_backend.h"
#include "serve/cli/interrupts.h"
#include "serve/cli/load_progress.h"
#include "serve/cli/utf8.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/language.h"
#include "serve/model_instance.h"

namespace fastchat::serve {
namespace {

// The template and role names that Python FastChat needs to go on with a file saved here. Its
// registry knows chatml models under this name; anything else gets its plainest template.
Conversation fresh_conversation(const model::ModelConfig& config,
                                const std::string& system_message) {
  if (config.architecture.starts_with("Qwen2"))
    return {"qwen-7b-chat", {"<|im_start|>user", "<|im_start|>assistant"}, system_message};
  return {"zero_shot", {"Human", "Assistant"}, system_message};
}

// What a chat cannot do without. Asked before minutes of loading.
void require_text(const ModelOptions& options) {
  check(!options.model_path.empty(),
        "{}",
        text("a chat needs --model-path: a folder with config.json, weights, tokenizer and chat "
             "template",
             "对话需要 --model-path：包含 config.json、权重、分词器和对话模板的文件夹"));
  check(std::filesystem::is_directory(options.model_path),
        fmt::runtime(text("{}: no such folder", "{}：没有这个文件夹")),
        options.model_path);
  const Result<text::ChatTemplate> found = text::ChatTemplate::from_folder(options.model_path);
  if (found) return;
  check(found.error().code == ErrorCode::not_found, "{}", found.error().message);
  fail("{}: {}",
       options.model_path,
       text("no chat template, neither chat_template.jinja nor \"chat_template\" in "
            "tokenizer_config.json. Base models "
            "have none: take the chat or instruct model, or put its chat_template.jinja into the "
            "folder",
            "没有对话模板：既没有 chat_template.jinja，tokenizer_config.json 中也没有 "
            "\"chat_template\"。"
            "基座模型没有模板：请使用 chat 或 instruct 模型，或把它的 chat_template.jinja "
            "放入该文件夹"));
}

int chat(const ModelInstance& model, EngineBackend& backend, CliOptions& options) {
  const Interrupts interrupts;
  Console console;
  Conversation fresh =
      fresh_conversation(model.config(), replace_invalid_utf8(options.system_message));
  std::unique_ptr<LineReader> reader;
  // libedit edits single lines; --multiline ends with Ctrl-D, which is the terminal driver's.
  if (!options.message && !options.chat.multiline) reader = make_edit_line_reader();
  if (!reader) reader = make_plain_line_reader(console);
  ChatLoop loop(backend, console, *reader, options.chat, std::move(fresh));
  try {
    if (options.message) return loop.answer_once(replace_invalid_utf8(*options.message));
    if (isatty(STDIN_FILENO) == 1)
      console.note(
          text("Type a message. !!help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.",
               "请输入消息。!!help 列出命令，Ctrl-C 停止回答，Ctrl-D 退出。"));
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
  refuse_what_comes_later(options);
  require_text(options.model);

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
        "{}: no tokenizer",
        options.model.model_path);  // dummy weights load without
  if (reports) fmt::print(stderr, "{}", start_report(*model));
  EngineBackend backend(model->engine(), *model->tokenizer(), *model->chat_template());
  return chat(*model, backend, options);
}

}  // namespace fastchat::serve
