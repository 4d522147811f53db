#include "emulator/errors.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace emulator {
namespace {

constexpr size_t kMaxPending = 16 << 10;  // characters; a client need not read them

struct ThreadErrors {
  std::string pending;
  std::string returned;  // keeps the text of the last aclGetRecentErrMsg alive
  int last = 0;
};

ThreadErrors& thread_errors() {
  thread_local ThreadErrors errors;
  return errors;
}

}  // namespace

void refuse_call(int code, std::string why) { throw Refused{code, std::move(why)}; }

void remember_error(const char* call, int code, const std::string& why) {
  ThreadErrors& errors = thread_errors();
  if (errors.pending.size() > kMaxPending) errors.pending.clear();
  errors.pending += fmt::format("[emulator] {}: {}: {}\n", call, code, why);
  errors.last = code;
}

int last_error(bool clear) {
  const int code = thread_errors().last;
  if (clear) thread_errors().last = 0;
  return code;
}

const char* take_recent_errors() {
  ThreadErrors& errors = thread_errors();
  if (errors.pending.empty()) return nullptr;
  errors.returned = std::exchange(errors.pending, {});
  return errors.returned.c_str();
}

int before_call(const char* /*call*/) { return 0; }

void client_bug(const std::string& what) {
  fmt::print(stderr, "[emulator] client bug: {}\n", what);
  std::fflush(stderr);
  std::abort();
}

}  // namespace emulator
