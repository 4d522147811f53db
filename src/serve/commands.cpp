#include "serve/command.h"

namespace fastchat::serve {
namespace {

constexpr Command kCommands[] = {
    {"cli", "chat with a model in the terminal", "在终端里与模型对话", run_cli},
    {"serve",
     "serve a model over the OpenAI-compatible API",
     "通过兼容 OpenAI 的 API 提供模型",
     run_serve},
    {"devices", "the devices it can see, and their memory", "列出可用的设备及其内存", run_devices},
    {"plan",
     "where a model's layers and cache would go, and what would not fit",
     "模型各层与缓存如何放置、放不下时差多少",
     run_plan},
    {"bench",
     "speed of a model, as a fraction of what this machine can do",
     "模型的速度，及占本机极限的比例",
     run_bench},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace fastchat::serve
