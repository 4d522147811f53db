#include "serve/cli/cli_options.h"

#include <limits>

#include <CLI/CLI.hpp>

#include "base/check.h"
#include "serve/flag_checks.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

// Bounds that only keep nonsense out; the engine checks what it needs.
constexpr double kLargest = 1e6;

void add_conversation_options(CLI::App& app, CliOptions& options) {
  const std::string group = say("Conversation", "对话");
  app.add_option("-m,--message",
                 options.message,
                 say("ask this one question, print the answer, leave (for scripts)",
                     "只问这一个问题，输出回答后退出（用于脚本）"))
      ->group(group);
  app.add_option("--conv-system-msg",
                 options.system_message,
                 say("system message (default: what the model's template has)",
                     "系统消息（默认由模型的模板决定）"))
      ->group(group);
  app.add_option("--conv-template",
                 options.conv_template,
                 say("one of FastChat's templates by name, such as vicuna_v1.1; list: print the\n"
                     "names (default: the model's own chat template)",
                     "按名称选用 FastChat 的模板，如 vicuna_v1.1；list：列出全部名称\n"
                     "（默认用模型自带的对话模板）"))
      ->type_name(say("NAME", "名称"))
      ->group(group);
  app.add_flag_callback(
         "--no-history",
         [&options] { options.chat.keep_history = false; },
         say("every message starts a new conversation", "每条消息都开始新的对话"))
      ->group(group);
  app.add_option("--style",
                 options.style,
                 say("simple: text as it comes; rich: Markdown with tables and coloured code;\n"
                     "programmatic: messages from a program, each ended by\n"
                     "\" __END_OF_A_MESSAGE_47582648__\" and a newline",
                     "simple：原样逐字输出；rich：显示 Markdown，含表格与代码高亮；\n"
                     "programmatic：由程序输入，每条消息以 \" __END_OF_A_MESSAGE_47582648__\" "
                     "加换行结束"))
      ->check(one_of({"simple", "rich", "programmatic"}))
      ->type_name("STYLE")
      ->capture_default_str()
      ->group(group);
  app.add_flag("--multiline",
               options.chat.multiline,
               say("messages of several lines: one ends with Ctrl-D on an empty line; in the rich\n"
                   "style Enter sends it and Alt-Enter makes a new line",
                   "消息可有多行：在空行按 Ctrl-D 结束；rich 样式中按 Enter 发送，Alt-Enter 换行"))
      ->group(group);
  app.add_flag("--mouse",
               options.mouse,
               say("accepted as in FastChat; the mouse stays the terminal's own, to select text",
                   "与 FastChat 一样可以给出；鼠标仍由终端用于选择文字"))
      ->group(group);
  app.add_flag("--judge-sent-end",
               options.chat.params.judge_sent_end,
               say("an answer does not end in the middle of a sentence while there is room",
                   "只要还有空间，回答不在句子中间结束"))
      ->group(group);
  app.add_flag(
         "--debug", options.chat.debug, say("print speeds after each answer", "每次回答后显示速度"))
      ->group(group);
}

void add_sampling_options(CLI::App& app, CliOptions& options) {
  const std::string group = say("Sampling", "采样");
  engine::SamplingParams& sampling = options.chat.params.sampling;
  // FastChat's defaults of the terminal chat, whatever generation_config.json says, as in FastChat.
  sampling.temperature = 0.7f;
  sampling.max_tokens = 512;

  const auto add = [&](const char* flag, auto& value, double least, double most, std::string help) {
    app.add_option(flag, value, help)
        ->check(in_range(least, most))
        ->capture_default_str()
        ->group(group);
  };
  add("--temperature",
      sampling.temperature,
      0,
      kLargest,
      say("0: always the likeliest token", "0 表示总取最可能的 token"));
  add("--repetition-penalty",
      sampling.repetition_penalty,
      1e-3,
      kLargest,
      say("above 1: avoid tokens that occurred", "大于 1 时避免已出现的 token"));
  add("--max-new-tokens",
      sampling.max_tokens,
      0,
      std::numeric_limits<std::int32_t>::max(),
      say("longest answer; 0: to the end of the context", "回答的最大长度；0 表示直到上下文用完"));
  add("--top-p",
      sampling.top_p,
      1e-8,
      1,
      say("sample from the likeliest tokens with this mass",
          "只在累计概率达到此值的 token 中采样"));
  add("--top-k",
      sampling.top_k,
      -1,
      std::numeric_limits<std::int32_t>::max(),
      say("sample from the k likeliest tokens; 0 or -1: all",
          "只在最可能的 k 个 token 中采样；0 或 -1 表示全部"));
  add("--min-p",
      sampling.min_p,
      0,
      1,
      say("drop tokens less likely than this share of the likeliest",
          "去掉概率低于最大概率此比例的 token"));
  add("--presence-penalty",
      sampling.presence_penalty,
      -2,
      2,
      say("for tokens the answer already has", "对回答中已出现的 token 的惩罚"));
  add("--frequency-penalty",
      sampling.frequency_penalty,
      -2,
      2,
      say("the same, for each time", "同上，按出现次数累计"));
  app.add_option("--seed",
                 sampling.seed,
                 say("the same answer again (default: a new one each time)",
                     "固定随机数，使回答可重现（默认每次不同）"))
      ->group(group);
  app.add_option(
         "--stop",
         options.chat.params.stop,
         say("end the answer at this text; may be repeated", "遇到此文字时结束回答；可重复给出"))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

}  // namespace

void add_cli_options(CLI::App& app, CliOptions& options) {
  app.description(
      say("Chat with a model in the terminal. Answers stream to standard output; everything else "
          "goes to\n"
          "standard error. Keys and values of earlier turns are kept and not computed again.",
          "在终端里与模型对话。回答逐字输出到标准输出，其余信息输出到标准错误。\n"
          "之前各轮的键值缓存会保留，不必重新计算。"));
  add_model_options(app, options.model);
  app.get_option("--shape")->group("");  // a chat needs a model's files
  add_conversation_options(app, options);
  add_sampling_options(app, options);
  app.footer(
      say("Examples:\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct --num-gpus 4     # layers over 4 "
          "devices\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct --temperature 0 -m 'Why is the "
          "sky blue?'\n"
          "In the chat: !!help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.\n"
          "Every flag can come from the environment (--top-p: FASTCHAT_TOP_P) or a --config file.",
          "示例：\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct --num-gpus 4     # 各层分布在 4 "
          "个设备上\n"
          "  fastchat cli --model-path ~/models/Qwen2-7B-Instruct --temperature 0 -m "
          "'天空为什么是蓝色的？'\n"
          "对话中：!!help 列出命令，Ctrl-C 停止回答，Ctrl-D 退出。\n"
          "每个参数都可来自环境变量（--top-p 对应 FASTCHAT_TOP_P）或 --config 文件。"));
}

}  // namespace fastchat::serve
