// A small log front: the engine library logs through a sink that main binds (to spdlog in
// `fastchat`). Any thread. Until a sink is bound, warnings and errors go to standard error.
#pragma once

#include <functional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace fastchat::log {

enum class Level { debug, info, warn, error };

using Sink = std::function<void(Level, std::string_view message)>;

/// Replaces the sink. Call before threads start; not synchronised with concurrent logging.
void set_sink(Sink sink);

void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace fastchat::log
