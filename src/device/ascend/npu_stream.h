// Streams and events of Ascend cards, and the memory that operations of a stream work in.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "device/ascend/call_list.h"
#include "device/ascend/cann.h"
#include "device/ascend/npu_device.h"

namespace fastchat::device::ascend {

/// Recorded again and again; one that was never recorded counts as reached.
class NpuEvent final : public Event {
 public:
  explicit NpuEvent(NpuDevice& device);
  ~NpuEvent() override;
  NpuEvent(const NpuEvent&) = delete;
  NpuEvent& operator=(const NpuEvent&) = delete;

  void synchronize() override;
  bool query() override;

  NpuDevice& device() const { return device_; }
  aclrtEvent handle() const { return handle_; }

 private:
  NpuDevice& device_;
  aclrtEvent handle_ = nullptr;
};

/// Work recorded from a stream, on the card. Destroyed before what it points into.
class NpuGraph final : public Graph {
 public:
  /// An operation of the graph that is planned anew when lengths change. Its workspace stays where
  /// it was given some: between the temporaries of the operations before and after.
  struct Adjustable {
    aclrtTaskGrp group = nullptr;
    CallList::Adjustable enqueue;
    std::span<std::byte> scratch;
  };
  NpuGraph(NpuDevice& device, aclmdlRI handle, std::vector<Adjustable> adjustables)
      : device_(device), handle_(handle), adjustables_(std::move(adjustables)) {}
  ~NpuGraph() override;
  NpuGraph(const NpuGraph&) = delete;
  NpuGraph& operator=(const NpuGraph&) = delete;
  void launch(Stream& stream) override;
  void set_lengths(Stream& updates, std::span<const std::int32_t> context_lens) override;

 private:
  NpuDevice& device_;
  aclmdlRI handle_;
  std::vector<Adjustable> adjustables_;
};

class NpuStream final : public Stream {
 public:
  enum class Mode {
    runs,
    plans,  // operators are asked for their workspace only, copies are none: see
            // peak_scratch_bytes()
  };
  explicit NpuStream(NpuDevice& device, Mode mode = Mode::runs);
  ~NpuStream() override;
  NpuStream(const NpuStream&) = delete;
  NpuStream& operator=(const NpuStream&) = delete;

  NpuDevice& device() override { return device_; }
  aclrtStream handle() const { return handle_; }

  void record(Event& event) override;
  /// An event of another card is waited for by the calling thread: the card's own wait is only
  /// promised for events of the same card.
  void wait(Event& event) override;
  void synchronize() override;
  /// What is enqueued is dropped, waits inside it end, and synchronize() throws; after it the
  /// stream is a new one, and usable. False where this CANN cannot. Any thread.
  bool abort();
  void copy_from_host(void* destination, const void* source, std::size_t size_bytes) override;
  void copy_to_host(void* destination, const void* source, std::size_t size_bytes) override;
  void copy(void* destination, const void* source, std::size_t size_bytes) override;
  void copy_from_peer(void* destination,
                      const void* source,
                      Device& source_device,
                      std::size_t size_bytes) override;
  void fill(void* destination, std::uint8_t value, std::size_t size_bytes) override;

  /// The recording keeps the scratch memory that its operations were given: from the first on, more
  /// is taken beside it. Before CANN 8.1, which has no graphs, the calls are kept.
  void begin_capture() override;
  std::unique_ptr<Graph> end_capture() override;
  /// Where calls go instead of the card; nullptr: they are made.
  CallList* recorded_calls() { return calls_.get(); }

  /// Enqueues `call`; where the stream records, as part of the recording that Graph::set_lengths()
  /// gives other lengths.
  void enqueue_adjustable(CallList::Adjustable call, std::span<const std::int32_t> context_lens);

  /// Memory for temporaries of one operation: `size_bytes` at 64-byte alignment, valid for the work
  /// enqueued until release_scratch(). Work of a stream runs in order, so the next operation may
  /// use the same bytes. Grows where it must, but not while recording. Throws OutOfMemory.
  void* take_scratch(std::size_t size_bytes);
  void release_scratch();
  /// Temporaries are taken from `scratch` instead, until this is called with none. Throws
  /// OutOfMemory where they do not fit.
  void borrow_scratch(std::span<std::byte> scratch);
  /// At least `size_bytes` from now on.
  void reserve_scratch(std::size_t size_bytes);
  Mode mode() const { return mode_; }
  /// The most that was held at once, in Mode::plans.
  std::size_t peak_scratch_bytes() const { return peak_scratch_bytes_; }

 private:
  void copy_async(void* destination,
                  const void* source,
                  std::size_t size_bytes,
                  aclrtMemcpyKind kind);
  void clear_scratch();
  void create();
  void refuse_while_recording(std::string_view call) const;

  NpuDevice& device_;
  const Mode mode_;
  aclrtStream handle_ = nullptr;
  std::size_t peak_scratch_bytes_ = 0;
  std::vector<Buffer> scratch_;   // all but the last are full; one, once it has grown enough
  std::size_t scratch_used_ = 0;  // of the last
  std::atomic<bool> is_aborted_{false};
  bool is_recording_ = false;
  std::unique_ptr<CallList> calls_;  // being recorded
  bool has_recorded_ = false;
  std::vector<Buffer> recorded_scratch_;  // outgrown, but graphs use it
  std::vector<NpuGraph::Adjustable> recorded_adjustables_;
  std::span<std::byte> borrowed_scratch_;
};

/// Throws Failure unless `stream` is of `device`, which recorded what it is to run.
void require_own(const NpuDevice& device, NpuStream& stream);

/// `stream` as a stream of an Ascend card; throws Failure naming `op` otherwise.
NpuStream& npu_stream(Stream& stream, std::string_view op);

}  // namespace fastchat::device::ascend
