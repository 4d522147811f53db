// Events of cpu devices, and how the failure of a stream's work reaches those who wait for it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "device/cpu/wait_word.h"
#include "device/device.h"

namespace fastchat::device {

/// Which of a stream's work a failure takes with it. Items are numbered from 1 in the order they
/// were enqueued.
///
/// After an item fails, everything behind it is dropped until the failure has been reported: by the
/// stream's synchronize(), or by synchronize() of an event recorded behind the failing item. What
/// was enqueued by then stays dropped, for it may have been built on the work that failed; what is
/// enqueued later runs. Whoever waits for dropped work and has not been told is told. Shared by the
/// stream, its leader thread and the recordings made from it; any thread.
class StreamHealth {
 public:
  /// Host: number of the item about to be enqueued.
  std::uint64_t number_next_item() { return num_pushed_.fetch_add(1) + 1; }

  /// Leader: item `number` failed; those behind it are dropped.
  void poison(std::uint64_t number, std::string message);
  /// Leader: whether item `number` runs. `is_work` = it computes something, so dropping it is worth
  /// a report.
  bool admits(std::uint64_t number, bool is_work);
  /// Leader: the failure that an event recorded now carries; empty while work is admitted.
  std::string failure() const;

  /// Host: the failure of work up to item `number` was seen by whoever waited there; later work
  /// runs again.
  void report(std::uint64_t number);
  /// Host, all work done: the message of a failure that nobody was told about, marked as told.
  /// Empty = none.
  std::string take_unreported();

 private:
  void clear_locked();

  std::atomic<std::uint64_t> num_pushed_{0};
  std::atomic<bool> poisoned_{
      false};  // written by the leader only; lets healthy streams skip the mutex
  mutable std::mutex mutex_;
  std::string message_;
  std::uint64_t failed_number_ = 0;
  std::uint64_t last_dropped_ = 0;
  std::uint64_t reported_up_to_ = 0;
  std::optional<std::uint64_t> admitted_from_;  // set once the failure was reported
};

/// One recording of an event: reached once, with or without a failure.
class Recording {
 public:
  /// Makes it ready for item `number` of the stream that `health` belongs to. Nobody waits for it
  /// yet.
  void arm(std::shared_ptr<StreamHealth> health, std::uint64_t number);
  void reach(std::string failure);
  bool reached() const { return state_.load() == kReached; }
  /// Blocks until reached and returns the failure, empty if there was none.
  std::string wait(std::chrono::microseconds spin);
  /// The host has seen the failure: the stream takes work again.
  void report();

 private:
  static constexpr std::uint32_t kPending = 0;
  static constexpr std::uint32_t kReached = 1;

  WaitWord state_{kPending};
  std::mutex mutex_;
  std::string failure_;
  std::shared_ptr<StreamHealth> health_;
  std::uint64_t number_ = 0;
};

/// Each record() makes a recording of its own, so a wait enqueued before the event is recorded
/// again still means what it meant. Any thread.
class StreamEvent final : public Event {
 public:
  void synchronize() override;
  bool query() override;

  /// A new latest recording, pending: item `number` of the stream that `health` belongs to. Reuses
  /// one that nobody looks at any more, so a steady state allocates nothing.
  std::shared_ptr<Recording> begin_recording(std::shared_ptr<StreamHealth> health,
                                             std::uint64_t number);
  /// nullptr if never recorded.
  std::shared_ptr<Recording> latest();

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Recording>> recordings_;
  std::size_t latest_index_ = 0;
};

}  // namespace fastchat::device
