#include "serve/later_flags.h"

#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "serve/language.h"

namespace fastchat::serve {
namespace {

enum class Takes { value, nothing };

/// FastChat's flags that this version knows and does not have. What to do instead, in both
/// languages.
struct LaterFlag {
  const char* name;
  Takes takes;
  std::string_view english;
  std::string_view chinese;
};

constexpr std::string_view kQuantized =
    "weights of GPTQ and AWQ come in a later version; --load-8bit makes 8-bit weights of the "
    "model's 16-bit ones";
constexpr std::string_view kQuantizedZh =
    "GPTQ 与 AWQ 权重将在以后的版本提供；--load-8bit 可把 16 位权重量化为 8 位";
constexpr std::string_view kExllama =
    "there is no ExLlama here, fastchat has an engine of its own; leave the flag out";
constexpr std::string_view kExllamaZh = "此处没有 ExLlama，fastchat 有自己的推理引擎；请去掉此参数";
constexpr std::string_view kExllamaLength =
    "there is no ExLlama here, fastchat has an engine of its own; --max-model-len sets the context";
constexpr std::string_view kExllamaLengthZh =
    "此处没有 ExLlama，fastchat 有自己的推理引擎；上下文长度请用 --max-model-len";
constexpr std::string_view kExllamaSplit =
    "there is no ExLlama here; --max-gpu-memory 20GiB,7GiB,7GiB sets what each device may use";
constexpr std::string_view kExllamaSplitZh =
    "此处没有 ExLlama；每个设备的内存请用 --max-gpu-memory 20GiB,7GiB,7GiB";
constexpr std::string_view kXft =
    "there is no xFasterTransformer here; --device cpu has fast kernels of its own";
constexpr std::string_view kXftZh = "此处没有 xFasterTransformer；--device cpu 自带快速内核";
constexpr std::string_view kXftLength =
    "there is no xFasterTransformer here; --max-model-len sets the context";
constexpr std::string_view kXftLengthZh =
    "此处没有 xFasterTransformer；上下文长度请用 --max-model-len";
constexpr std::string_view kXftDtype =
    "there is no xFasterTransformer here; --dtype sets the type of the weights";
constexpr std::string_view kXftDtypeZh = "此处没有 xFasterTransformer；数值类型请用 --dtype";

constexpr LaterFlag kLaterFlags[] = {
    {"--cpu-offloading",
     Takes::nothing,
     "layers in host memory come in a later version; --device cpu runs the whole model there",
     "把部分层放在主机内存将在以后的版本提供；--device cpu 可在主机上运行整个模型"},
    {"--gptq-ckpt", Takes::value, kQuantized, kQuantizedZh},
    {"--gptq-wbits", Takes::value, kQuantized, kQuantizedZh},
    {"--gptq-groupsize", Takes::value, kQuantized, kQuantizedZh},
    {"--gptq-act-order", Takes::nothing, kQuantized, kQuantizedZh},
    {"--awq-ckpt", Takes::value, kQuantized, kQuantizedZh},
    {"--awq-wbits", Takes::value, kQuantized, kQuantizedZh},
    {"--awq-groupsize", Takes::value, kQuantized, kQuantizedZh},
    {"--enable-exllama", Takes::nothing, kExllama, kExllamaZh},
    {"--exllama-max-seq-len", Takes::value, kExllamaLength, kExllamaLengthZh},
    {"--exllama-gpu-split", Takes::value, kExllamaSplit, kExllamaSplitZh},
    {"--exllama-cache-8bit",
     Takes::nothing,
     "an 8-bit KV cache comes in a later version; leave the flag out",
     "8 位键值缓存将在以后的版本提供；请去掉此参数"},
    {"--enable-xft", Takes::nothing, kXft, kXftZh},
    {"--xft-max-seq-len", Takes::value, kXftLength, kXftLengthZh},
    {"--xft-dtype", Takes::value, kXftDtype, kXftDtypeZh},
};

}  // namespace

void add_later_flags(CLI::App& app) {
  const std::string hidden;  // an empty group keeps an option out of the help
  for (const LaterFlag& flag : kLaterFlags) {
    const auto refuse = [&flag] {
      throw CLI::ValidationError(flag.name, say(flag.english, flag.chinese));
    };
    if (flag.takes == Takes::nothing)
      app.add_flag_callback(flag.name, refuse)->group(hidden);
    else
      app.add_option_function<std::string>(flag.name, [refuse](const std::string&) { refuse(); })
          ->group(hidden);
  }
}

}  // namespace fastchat::serve
