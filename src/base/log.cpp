#include "base/log.h"

#include <cstdio>

namespace fastchat::log {
namespace {

Sink& sink() {
  static Sink instance = [](Level level, std::string_view message) {
    if (level >= Level::warn)
      std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  };
  return instance;
}

}  // namespace

void set_sink(Sink replacement) { sink() = std::move(replacement); }

void write(Level level, std::string_view message) { sink()(level, message); }

}  // namespace fastchat::log
