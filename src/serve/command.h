// The verbs of `fastchat`: an explicit list in commands.cpp.
#pragma once

#include <span>
#include <string_view>

namespace fastchat::serve {

struct Command {
  std::string_view name;
  std::string_view summary;  // one line for `fastchat --help`
  std::string_view summary_zh;
  /// argv[0] is "fastchat <verb>". Returns the exit status (exit_status.h); throws Failure for
  /// start-up errors, which main prints.
  int (*run)(int argc, char** argv);
};

std::span<const Command> commands();

int run_bench(int argc, char** argv);
int run_cli(int argc, char** argv);
int run_devices(int argc, char** argv);
int run_plan(int argc, char** argv);
int run_serve(int argc, char** argv);

}  // namespace fastchat::serve
