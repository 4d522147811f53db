// Handles that clients hold. A value is never given twice, so a freed one is recognised, and it is
// no address, so whoever dereferences it faults.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace emulator {

/// Any thread. `Kind` keeps the values of different tables apart.
template <typename T, uint64_t Kind>
class HandleTable {
 public:
  void* add(std::shared_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    const uint64_t value = kBase | (Kind << 44) | (++last_ << 4);
    objects_.emplace(value, std::move(object));
    return reinterpret_cast<void*>(value);  // NOLINT(performance-no-int-to-ptr): never followed
  }

  /// Null when the handle is not alive, or of another kind.
  std::shared_ptr<T> find(const void* handle) const {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uint64_t>(handle));
    return found == objects_.end() ? nullptr : found->second;
  }

  std::shared_ptr<T> remove(const void* handle) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(reinterpret_cast<uint64_t>(handle));
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

  /// Null when the object is not there.
  void* handle_of(const T& object) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [value, held] : objects_) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): never followed
      if (held.get() == &object) return reinterpret_cast<void*>(value);
    }
    return nullptr;
  }

  template <typename Condition>
  void remove_if(const Condition& condition) {
    std::vector<std::shared_ptr<T>> removed;  // destroyed after the lock
    const std::lock_guard lock(mutex_);
    std::erase_if(objects_, [&](auto& entry) {
      if (!condition(*entry.second)) return false;
      removed.push_back(std::move(entry.second));
      return true;
    });
  }

  std::vector<std::shared_ptr<T>> all() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<T>> objects;
    objects.reserve(objects_.size());
    for (const auto& [value, object] : objects_) objects.push_back(object);
    return objects;
  }

 private:
  static constexpr uint64_t kBase = 0xE580000000000000;  // faults on x86-64 and aarch64

  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<T>> objects_;
  uint64_t last_ = 0;
};

}  // namespace emulator
