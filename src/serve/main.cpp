// `fastchat <verb>`: binds the log, finds the verb, and turns start-up failures into one line.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "base/bilingual_failure.h"
#include "base/check.h"
#include "base/log.h"
#include "device/ascend/cann_root.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/exit_status.h"
#include "serve/language.h"
#include "serve/verb_names.h"

namespace fastchat::serve {
namespace {

void bind_log(int argc, char** argv) {
  std::string level = find_setting(argc, argv, "log-level");
  const char* environment = std::getenv("FASTCHAT_LOG");
  if (level.empty() && environment != nullptr) level = environment;
  auto logger = std::make_shared<spdlog::logger>("fastchat",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e | %l | %n | %v");
  // An unknown name from the environment is no reason not to start; from_str makes it "off".
  const spdlog::level::level_enum parsed = spdlog::level::from_str(level);
  logger->set_level(parsed == spdlog::level::off ? spdlog::level::warn : parsed);
  log::set_sink([logger](log::Level message_level, std::string_view message) {
    constexpr spdlog::level::level_enum kLevels[] = {
        spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};
    logger->log(kLevels[static_cast<int>(message_level)], "{}", message);
  });
}

void print_overview(std::FILE* out) {
  fmt::print(out,
             "{}\n\n",
             text("fastchat: large language models on your own cards and cores, over one or "
                  "several of them.",
                  "fastchat：在自己的一张或多张卡、一个或多个处理器上运行大语言模型。"));
  fmt::print(out, "{}\n", text("Usage: fastchat <verb> [flags]", "用法：fastchat <命令> [参数]"));
  for (const Command& command : commands())
    fmt::print(out, "  {:<10} {}\n", command.name, text(command.summary, command.summary_zh));
  fmt::print(out,
             "\n{}\n  fastchat cli --model-path ~/models/Qwen2-7B-Instruct --num-gpus 4\n"
             "  fastchat plan --shape qwen2-7b --num-gpus 2\n\n{}\n",
             text("Examples:", "示例："),
             text("fastchat <verb> --help explains a verb; fastchat --version; --lang en|zh for "
                  "every verb.",
                  "fastchat <命令> --help 查看命令说明；fastchat --version 查看版本；"
                  "每个命令都可加 --lang en|zh。"));
}

int unknown_verb(std::string_view verb) {
  if (is_planned_verb(verb)) {
    fmt::print(
        stderr,
        fmt::runtime(text(
            "fastchat: '{}' comes in a later version; this one has cli, serve, plan, bench and "
            "devices.\n",
            "fastchat：'{}' 将在以后的版本提供；本版本有 cli、serve、plan、bench 和 devices。\n")),
        verb);
    return kUsage;
  }
  std::vector<std::string_view> names;
  for (const Command& command : commands()) names.push_back(command.name);
  const std::string_view nearest = nearest_name(verb, names);
  fmt::print(
      stderr, fmt::runtime(text("fastchat: no verb '{}'.", "fastchat：没有命令 '{}'。")), verb);
  if (!nearest.empty())
    fmt::print(stderr, fmt::runtime(text(" Did you mean '{}'?", "是不是 '{}'？")), nearest);
  fmt::print(
      stderr, "{}\n", text(" 'fastchat --help' lists all.", " 'fastchat --help' 列出全部命令。"));
  return kUsage;
}

int run(int argc, char** argv) {
  set_language(detect_language(find_setting(argc, argv, "lang")));
  bind_log(argc, argv);
  if (argc < 2) {
    print_overview(stdout);
    return 0;
  }
  const std::string_view verb = argv[1];
  if (verb == "--version" || verb == "-V") {
    fmt::print("fastchat {}\n", FASTCHAT_VERSION);
    return 0;
  }
  if (verb == "--help" || verb == "-h" || verb == "help" || verb.starts_with("--lang")) {
    print_overview(stdout);
    return 0;
  }
  for (const Command& command : commands())
    if (command.name == verb) return command.run(argc - 1, argv + 1);
  return unknown_verb(verb);
}

int cannot_write(int error) {
  fmt::print(stderr,
             fmt::runtime(text("fastchat: cannot write to standard output: {}\n",
                               "fastchat：无法写入标准输出：{}\n")),
             system_text(error));
  return kFailed;
}

/// What is still in the buffer must reach its reader before a verb has succeeded.
int flush_output(int status) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  const int written = cannot_write(errno == 0 ? EIO : errno);
  return status == 0 ? written : status;
}

}  // namespace
}  // namespace fastchat::serve

int main(int argc, char** argv) {
  using namespace fastchat;
  // Failure carries a line for a person; anything else (out of host memory, …) at least names
  // itself.
  const auto failed = [](const std::exception& error, int status) {
    fmt::print(stderr, "{}{}\n", serve::text("fastchat: ", "fastchat："), error.what());
    return status;
  };
  device::ascend::enter_cann_environment(argv);
  // Room for a help text or a plan: where it cannot be written, the last flush knows why.
  static char output_buffer[std::size_t{1} << 16];
  if (isatty(STDOUT_FILENO) == 0) std::setvbuf(stdout, output_buffer, _IOFBF, sizeof output_buffer);
  try {
    return serve::flush_output(serve::run(argc, argv));
  } catch (const serve::UsageFailure& error) {
    return failed(error, serve::kUsage);
  } catch (const serve::DoesNotFit& error) {
    return failed(error, serve::kDoesNotFit);
  } catch (const OutOfMemory& error) {
    // Devices speak English; the heading at least is in the reader's language.
    return failed(OutOfMemory(serve::say("", "设备内存不足：") + error.what()), serve::kDoesNotFit);
  } catch (const BilingualFailure& error) {
    return failed(Failure(serve::say(error.what(), error.chinese())), serve::kFailed);
  } catch (const std::system_error& error) {
    if (std::ferror(stdout) != 0) return serve::cannot_write(error.code().value());
    return failed(error, serve::kFailed);
  } catch (const std::exception& error) {
    return failed(error, serve::kFailed);
  }
}
