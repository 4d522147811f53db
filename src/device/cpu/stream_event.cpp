#include "device/cpu/stream_event.h"

#include <algorithm>
#include <utility>

namespace fastchat::device {

void StreamHealth::poison(std::uint64_t number, std::string message) {
  const std::lock_guard lock(mutex_);
  message_ = std::move(message);
  failed_number_ = number;
  last_dropped_ = number;
  admitted_from_.reset();
  poisoned_.store(true);
}

bool StreamHealth::admits(std::uint64_t number, bool is_work) {
  if (!poisoned_.load()) return true;
  const std::lock_guard lock(mutex_);
  if (admitted_from_ && number >= *admitted_from_) {
    poisoned_.store(false);
    return true;
  }
  if (is_work) last_dropped_ = number;
  return false;
}

std::string StreamHealth::failure() const {
  if (!poisoned_.load()) return {};
  const std::lock_guard lock(mutex_);
  return message_;
}

void StreamHealth::report(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  reported_up_to_ = std::max(reported_up_to_, number);
  // An event from before the present failure says nothing about it.
  if (number > failed_number_) clear_locked();
}

std::string StreamHealth::take_unreported() {
  const std::lock_guard lock(mutex_);
  if (last_dropped_ <= reported_up_to_) return {};
  reported_up_to_ = last_dropped_;
  clear_locked();
  return message_;
}

void StreamHealth::clear_locked() {
  if (poisoned_.load() && !admitted_from_) admitted_from_ = num_pushed_.load() + 1;
}

void Recording::arm(std::shared_ptr<StreamHealth> health, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  health_ = std::move(health);
  number_ = number;
  failure_.clear();
  state_.store(kPending);
}

void Recording::reach(std::string failure) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
  }
  state_.store_and_wake(kReached);
}

std::string Recording::wait(std::chrono::microseconds spin) {
  state_.wait(spin, [](std::uint32_t state) { return state == kReached; });
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Recording::report() {
  const std::lock_guard lock(mutex_);
  if (health_) health_->report(number_);
}

void StreamEvent::synchronize() {
  const std::shared_ptr<Recording> recording = latest();
  if (!recording) return;
  const std::string failure = recording->wait(kHostSpin);
  if (failure.empty()) return;
  recording->report();
  throw Failure(failure);
}

bool StreamEvent::query() {
  const std::shared_ptr<Recording> recording = latest();
  return !recording || recording->reached();
}

std::shared_ptr<Recording> StreamEvent::begin_recording(std::shared_ptr<StreamHealth> health,
                                                        std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  // Only the latest recording is ever handed out, under this mutex; one that nobody else holds now
  // stays so.
  latest_index_ = 0;
  while (latest_index_ < recordings_.size() && recordings_[latest_index_].use_count() > 1)
    ++latest_index_;
  if (latest_index_ == recordings_.size()) recordings_.push_back(std::make_shared<Recording>());
  recordings_[latest_index_]->arm(std::move(health), number);
  return recordings_[latest_index_];
}

std::shared_ptr<Recording> StreamEvent::latest() {
  const std::lock_guard lock(mutex_);
  return recordings_.empty() ? nullptr : recordings_[latest_index_];
}

}  // namespace fastchat::device
