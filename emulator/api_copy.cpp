// Entry points for copies and fills.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>

#include "emulator/address_space.h"
#include "emulator/capture.h"
#include "emulator/costs.h"
#include "emulator/entry.h"
#include "emulator/memory.h"
#include "emulator/op.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

void require_kind(aclrtMemcpyKind kind, bool asynchronous) {
  const int last = cann_version() < 850 ? ACL_MEMCPY_DEVICE_TO_DEVICE
                   : asynchronous       ? ACL_MEMCPY_INTER_DEVICE_TO_DEVICE
                                        : ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE;
  if (kind < ACL_MEMCPY_HOST_TO_HOST || kind > last) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("kind {}", static_cast<int>(kind)));
  }
}

// What the vendor sees at the call: addresses on cards must belong to live memory.
void require_live(const void* address, size_t bytes, const char* what) {
  require_pointer(address, what);
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (!address_space().is_device_address(at)) return;
  auto found = address_space().find(at);
  // Mappings may lie side by side.
  uintptr_t end = at;
  while (found && end < at + bytes) {
    end = found->address + found->bytes;
    if (end < at + bytes) found = address_space().find(end);
  }
  if (!found) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("{}: {} bytes at {} are no live card memory", what, bytes, address));
  }
}

void require_copy(void* to, size_t max_bytes, const void* from, size_t bytes) {
  require_pointer(to, "the target");
  require_pointer(from, "the source");
  if (bytes > max_bytes) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("{} bytes into room for {}", bytes, max_bytes));
  }
  if (bytes == 0) return;
  require_live(to, bytes, "the target");
  require_live(from, bytes, "the source");
}

// In the client's thread: faults become the call's result.
template <typename Work>
void now(const Work& work) {
  try {
    work();
  } catch (const DeviceFault& fault) {
    refuse_call(fault.code, fault.message);
  }
}

// Rows of `width` bytes; one row is the usual copy.
struct Rows {
  std::byte* to;
  size_t to_pitch;
  const std::byte* from;
  size_t from_pitch;
  size_t width;
  size_t height;

  void copy(int card) const {
    for (size_t row = 0; row < height; ++row) {
      copy_bytes(card, to + row * to_pitch, from + row * from_pitch, width);
    }
  }
  size_t extent(size_t pitch) const { return height == 0 ? 0 : (height - 1) * pitch + width; }
  double bytes() const { return static_cast<double>(width) * static_cast<double>(height); }
  Passage passage() const { return passage_of(to, from, bytes()); }
};

// A copy for which the calling thread waits.
void copy_and_wait(Card& card, const char* call, const Rows& rows) {
  now([&] { rows.copy(card.id); });
  const Passage passage = rows.passage();
  occupy(card, call, passage.duration, passage.route, rows.bytes());
}

void copy_now(const char* call, const Rows& rows) {
  check_unsafe_call(call);
  const auto context = require_context();
  Runtime& state = runtime();
  {
    std::unique_lock lock(state.mutex);
    if (context->card->fault != ACL_SUCCESS) refuse_call(context->card->fault, context->card->why);
    drain_default_stream(lock, *context);
  }
  copy_and_wait(*context->card, call, rows);
}

void copy_in_order(const char* call, const Rows& rows, aclrtStream stream) {
  const auto where = require_stream(stream);
  const Place to = place_of(rows.to, rows.extent(rows.to_pitch));
  const Place from = place_of(rows.from, rows.extent(rows.from_pitch));
  if (to != Place::device && from != Place::device) {
    refuse_call(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "an asynchronous copy from host to host");
  }
  if (to == Place::pageable || from == Place::pageable) {
    // As the vendor does it: wait for the stream, then copy at once.
    check_unsafe_call(call, true);
    {
      std::unique_lock lock(runtime().mutex);
      refuse_captured(*where, "a copy with pageable host memory");
      synchronize(lock, *where, std::nullopt, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
    }
    return copy_and_wait(*where->card, call, rows);
  }
  const Passage passage = rows.passage();
  submit(*where,
         {.kind = Task::Kind::copy,
          .name = call,
          .run = [rows](Stream& stream) { rows.copy(stream.card->id); },
          .duration = passage.duration,
          .route = passage.route,
          .bytes = rows.bytes()});
}

Rows one_row(void* to, const void* from, size_t bytes) {
  return {static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(from), bytes, bytes, 1};
}

void copy_async(const char* call,
                void* to,
                size_t max_bytes,
                const void* from,
                size_t bytes,
                aclrtMemcpyKind kind,
                aclrtStream stream) {
  require_kind(kind, true);
  require_context();
  require_copy(to, max_bytes, from, bytes);
  if (bytes == 0 || to == from) return;
  copy_in_order(call, one_row(to, from, bytes), stream);
}

Rows require_rows(void* to,
                  size_t to_pitch,
                  const void* from,
                  size_t from_pitch,
                  size_t width,
                  size_t height,
                  aclrtMemcpyKind kind) {
  if (kind != ACL_MEMCPY_HOST_TO_DEVICE && kind != ACL_MEMCPY_DEVICE_TO_HOST &&
      !(kind == ACL_MEMCPY_DEFAULT && cann_version() >= 850)) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("kind {}: expected host to device, or back", static_cast<int>(kind)));
  }
  if (width > to_pitch || width > from_pitch) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("rows of {} bytes at pitches {} and {}", width, to_pitch, from_pitch));
  }
  require_context();
  const Rows rows{static_cast<std::byte*>(to),
                  to_pitch,
                  static_cast<const std::byte*>(from),
                  from_pitch,
                  width,
                  height};
  require_live(to, rows.extent(to_pitch), "the target");
  require_live(from, rows.extent(from_pitch), "the source");
  return rows;
}

void require_fill(void* address, size_t max_bytes, size_t bytes) {
  require_pointer(address, "the address");
  if (bytes > max_bytes) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("{} bytes in room for {}", bytes, max_bytes));
  }
  if (bytes > 0) require_live(address, bytes, "the target");
}

// Words in card memory that streams wait for and write: seen by all cards, whatever wrote them.
uint64_t load_word(Stream& stream, const void* address) {
  CardMemory memory(stream.card->id);
  uint64_t word;
  std::memcpy(&word, memory.read(address, sizeof word), sizeof word);
  return word;
}

bool satisfied(uint64_t word, uint64_t value, uint32_t comparison) {
  switch (comparison) {
    case ACL_STREAM_WAIT_VALUE_GEQ:
      return static_cast<int64_t>(word - value) >= 0;
    case ACL_STREAM_WAIT_VALUE_EQ:
      return word == value;
    case ACL_STREAM_WAIT_VALUE_AND:
      return (word & value) != 0;
    default:
      return ~(word | value) != 0;
  }
}

}  // namespace

aclError aclrtMemcpy(
    void* to, size_t max_bytes, const void* from, size_t bytes, aclrtMemcpyKind kind) {
  return guarded("aclrtMemcpy", [&] {
    require_kind(kind, false);
    require_context();
    require_copy(to, max_bytes, from, bytes);
    if (bytes == 0 || to == from) return;
    copy_now("aclrtMemcpy", one_row(to, from, bytes));
  });
}

aclError aclrtMemcpyAsync(void* to,
                          size_t max_bytes,
                          const void* from,
                          size_t bytes,
                          aclrtMemcpyKind kind,
                          aclrtStream stream) {
  return guarded("aclrtMemcpyAsync",
                 [&] { copy_async("aclrtMemcpyAsync", to, max_bytes, from, bytes, kind, stream); });
}

aclError aclrtMemcpyAsyncWithCondition(void* to,
                                       size_t max_bytes,
                                       const void* from,
                                       size_t bytes,
                                       aclrtMemcpyKind kind,
                                       aclrtStream stream) {
  return guarded("aclrtMemcpyAsyncWithCondition", [&] {
    copy_async("aclrtMemcpyAsyncWithCondition", to, max_bytes, from, bytes, kind, stream);
  });
}

aclError aclrtMemcpy2d(void* to,
                       size_t to_pitch,
                       const void* from,
                       size_t from_pitch,
                       size_t width,
                       size_t height,
                       aclrtMemcpyKind kind) {
  return guarded("aclrtMemcpy2d", [&] {
    copy_now("aclrtMemcpy2d", require_rows(to, to_pitch, from, from_pitch, width, height, kind));
  });
}

aclError aclrtMemcpy2dAsync(void* to,
                            size_t to_pitch,
                            const void* from,
                            size_t from_pitch,
                            size_t width,
                            size_t height,
                            aclrtMemcpyKind kind,
                            aclrtStream stream) {
  return guarded("aclrtMemcpy2dAsync", [&] {
    copy_in_order("aclrtMemcpy2dAsync",
                  require_rows(to, to_pitch, from, from_pitch, width, height, kind),
                  stream);
  });
}

aclError aclrtMemset(void* address, size_t max_bytes, int32_t value, size_t bytes) {
  return guarded("aclrtMemset", [&] {
    const auto context = require_context();
    require_fill(address, max_bytes, bytes);
    check_unsafe_call("aclrtMemset");
    {
      std::unique_lock lock(runtime().mutex);
      if (context->card->fault != ACL_SUCCESS)
        refuse_call(context->card->fault, context->card->why);
      drain_default_stream(lock, *context);
    }
    now([&] { set_bytes(context->card->id, address, value, bytes); });
    occupy(*context->card, "aclrtMemset", costs().card_copy(static_cast<double>(bytes)));
  });
}

aclError aclrtMemsetAsync(
    void* address, size_t max_bytes, int32_t value, size_t bytes, aclrtStream stream) {
  return guarded("aclrtMemsetAsync", [&] {
    const auto where = require_stream(stream);
    require_fill(address, max_bytes, bytes);
    submit(*where,
           {.kind = Task::Kind::copy,
            .name = "aclrtMemsetAsync",
            .run = [=](Stream& stream) { set_bytes(stream.card->id, address, value, bytes); },
            .duration = costs().card_copy(static_cast<double>(bytes))});
  });
}

aclError aclrtValueWrite(void* address, uint64_t value, uint32_t flags, aclrtStream stream) {
  return guarded("aclrtValueWrite", [&] {
    const auto where = require_stream(stream);
    require_fill(address, sizeof value, sizeof value);
    if (flags != 0)
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("flags {}: expected 0", flags));
    submit(*where, {.name = "aclrtValueWrite", .run = [=](Stream& stream) {
                      catch_up(stream);
                      CardMemory memory(stream.card->id);
                      std::memcpy(memory.write(address, sizeof value), &value, sizeof value);
                    }});
  });
}

aclError aclrtValueWait(void* address, uint64_t value, uint32_t comparison, aclrtStream stream) {
  return guarded("aclrtValueWait", [&] {
    const auto where = require_stream(stream);
    require_fill(address, sizeof value, sizeof value);
    if (comparison > ACL_STREAM_WAIT_VALUE_NOR) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("comparison {}", comparison));
    }
    submit(*where, {.name = "aclrtValueWait", .run = [=](Stream& stream) {
                      while (!satisfied(load_word(stream, address), value, comparison)) {
                        wait_in_task(stream, [] { return true; });  // ends when the stream goes
                        std::this_thread::sleep_for(std::chrono::microseconds(50));
                      }
                    }});
  });
}
// NOLINTEND(readability-identifier-naming)
