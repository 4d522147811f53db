#include "serve/cli/load_progress.h"

#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "base/bytes.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

constexpr int kBarCells = 24;
constexpr double kMegabyte = 1e6;

}  // namespace

LoadProgress::LoadProgress(int fd, bool is_terminal, Clock::time_point now)
    : fd_(fd), is_terminal_(is_terminal), started_(now), last_(now) {}

LoadProgress::~LoadProgress() {
  if (bar_open_) print("\n");
}

void LoadProgress::print(const std::string& text) {
  // A closed standard error is no reason to stop loading.
  [[maybe_unused]] const ssize_t written = write(fd_, text.data(), text.size());
}

std::string LoadProgress::state(std::uint64_t done_bytes,
                                std::uint64_t total_bytes,
                                Clock::time_point now) const {
  const double seconds = std::chrono::duration<double>(now - started_).count();
  return fmt::format("{}{}, {:.0f} MB/s",
                     format_bytes(done_bytes),
                     total_bytes == 0 ? "" : " / " + format_bytes(total_bytes),
                     seconds > 0 ? static_cast<double>(done_bytes) / kMegabyte / seconds : 0.0);
}

void LoadProgress::update(std::uint64_t done_bytes,
                          std::uint64_t total_bytes,
                          Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  const bool complete = total_bytes > 0 && done_bytes >= total_bytes;
  if (finished_ ||
      (!complete && now - last_ < (is_terminal_ ? Clock::duration(kRedrawEvery) : kLineEvery)))
    return;
  last_ = now;
  finished_ = complete;
  const std::string_view label = text("loading", "加载中");
  if (!is_terminal_) {
    print(fmt::format("{} {}\n", label, state(done_bytes, total_bytes, now)));
    return;
  }
  if (total_bytes == 0) {  // made-up weights have no files to count
    print(fmt::format("\r{} {}\x1b[K", label, state(done_bytes, total_bytes, now)));
    bar_open_ = true;
    return;
  }
  const double share = static_cast<double>(done_bytes) / static_cast<double>(total_bytes);
  const int filled = complete ? kBarCells : static_cast<int>(share * kBarCells);
  print(fmt::format("\r{} [{:#<{}}{:.<{}}] {:3.0f}% {}\x1b[K{}",
                    label,
                    "",
                    filled,
                    "",
                    kBarCells - filled,
                    share * 100,
                    state(done_bytes, total_bytes, now),
                    complete ? "\n" : ""));
  bar_open_ = !complete;
}

}  // namespace fastchat::serve
