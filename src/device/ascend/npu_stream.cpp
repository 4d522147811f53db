#include "device/ascend/npu_stream.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "device/ascend/cann_error.h"
#include "device/ascend/cann_library.h"

namespace fastchat::device::ascend {
namespace {

constexpr std::size_t kScratchAlignment = 64;
constexpr std::size_t kFirstScratchBytes = std::size_t{8} << 20;

NpuEvent& npu_event(Event& event) {
  auto* const own = dynamic_cast<NpuEvent*>(&event);
  check(own != nullptr, "{}", "npu: an event of another kind of device");
  return *own;
}

}  // namespace

NpuEvent::NpuEvent(NpuDevice& device) : device_(device) {
  device_.bind();
  FASTCHAT_CANN_CALL(aclrtCreateEventExWithFlag, &handle_, ACL_EVENT_SYNC);
}

NpuEvent::~NpuEvent() {
  try {
    device_.bind();
    FASTCHAT_CANN_CALL(aclrtDestroyEvent, handle_);
  } catch (const std::exception& failure) {
    log::error("{}", failure.what());
  }
}

void NpuEvent::synchronize() {
  device_.bind();
  FASTCHAT_CANN_CALL(aclrtSynchronizeEvent, handle_);
}

bool NpuEvent::query() {
  device_.bind();
  aclrtEventRecordedStatus status = ACL_EVENT_RECORDED_STATUS_NOT_READY;
  FASTCHAT_CANN_CALL(aclrtQueryEventStatus, handle_, &status);
  return status == ACL_EVENT_RECORDED_STATUS_COMPLETE;
}

void require_own(const NpuDevice& device, NpuStream& stream) {
  check(&stream.device() == &device,
        "npu: a graph of card {} on a stream of card {}",
        device.info().index,
        stream.device().info().index);
}

NpuGraph::~NpuGraph() {
  try {
    device_.bind();
    FASTCHAT_CANN_CALL(aclmdlRIDestroy, handle_);
  } catch (const std::exception& failure) {
    log::error("{}", failure.what());
  }
}

void NpuGraph::launch(Stream& stream) {
  NpuStream& own = npu_stream(stream, "launch");
  require_own(device_, own);
  device_.bind();
  FASTCHAT_CANN_CALL(aclmdlRIExecuteAsync, handle_, own.handle());
}

void NpuGraph::set_lengths(Stream& updates, std::span<const std::int32_t> context_lens) {
  NpuStream& own = npu_stream(updates, "set_lengths");
  require_own(device_, own);
  device_.bind();
  for (const Adjustable& adjustable : adjustables_) {
    FASTCHAT_CANN_CALL(aclmdlRICaptureTaskUpdateBegin, own.handle(), adjustable.group);
    own.borrow_scratch(adjustable.scratch);
    std::exception_ptr failure;
    try {
      adjustable.enqueue(own, context_lens);
    } catch (...) {
      failure = std::current_exception();
    }
    // Ended in any case: what the stream is told until then goes into the graph.
    own.borrow_scratch({});
    const aclError status = FASTCHAT_CANN(aclmdlRICaptureTaskUpdateEnd)(own.handle());
    if (failure) std::rethrow_exception(failure);
    check_status(status, "aclmdlRICaptureTaskUpdateEnd");
  }
}

NpuStream::NpuStream(NpuDevice& device, Mode mode) : device_(device), mode_(mode) {
  device_.bind();
  if (mode_ == Mode::plans) {
    // An address of the card for tensors that are never read.
    scratch_.push_back(device_.allocate(kScratchAlignment, "planned scratch"));
    return;
  }
  create();
}

void NpuStream::create() {
  FASTCHAT_CANN_CALL(
      aclrtCreateStreamWithConfig, &handle_, 0, ACL_STREAM_FAST_LAUNCH | ACL_STREAM_FAST_SYNC);
}

NpuStream::~NpuStream() {
  if (mode_ == Mode::plans) return;
  try {
    device_.bind();
    // Waits for the work, which may use the scratch memory.
    FASTCHAT_CANN_CALL(aclrtDestroyStream, handle_);
  } catch (const std::exception& failure) {
    log::error("{}", failure.what());
  }
}

void NpuStream::refuse_while_recording(std::string_view call) const {
  check(!is_recording_, "npu: {} while the stream records a graph", call);
}

void NpuStream::record(Event& event) {
  if (mode_ == Mode::plans) return;
  refuse_while_recording("record");
  device_.bind();
  FASTCHAT_CANN_CALL(aclrtRecordEvent, npu_event(event).handle(), handle_);
}

void NpuStream::wait(Event& event) {
  if (mode_ == Mode::plans) return;
  refuse_while_recording("wait");
  NpuEvent& other = npu_event(event);
  if (&other.device() != &device_) {
    other.synchronize();
    return;
  }
  device_.bind();
  FASTCHAT_CANN_CALL(aclrtStreamWaitEvent, handle_, other.handle());
}

void NpuStream::synchronize() {
  if (mode_ == Mode::plans) return;
  refuse_while_recording("synchronize");
  device_.bind();
  if (is_aborted_.exchange(false)) {
    // An aborted stream takes nothing any more.
    const aclError status = FASTCHAT_CANN(aclrtSynchronizeStream)(handle_);
    const std::string failure = describe_failure(status, "aclrtSynchronizeStream");
    FASTCHAT_CANN_CALL(aclrtDestroyStreamForce, handle_);
    create();
    fail("{}", failure);
  }
  FASTCHAT_CANN_CALL(aclrtSynchronizeStream, handle_);
}

bool NpuStream::abort() {
  void* const found = cann().find("aclrtStreamAbort");
  if (found == nullptr || mode_ == Mode::plans) return false;
  device_.bind();
  is_aborted_ = true;
  check_status(reinterpret_cast<decltype(&aclrtStreamAbort)>(found)(handle_), "aclrtStreamAbort");
  return true;
}

void NpuStream::copy_async(void* destination,
                           const void* source,
                           std::size_t size_bytes,
                           aclrtMemcpyKind kind) {
  if (size_bytes == 0 || mode_ == Mode::plans) return;
  device_.bind();
  const auto copy = [=](aclrtStream stream) {
    const aclError status =
        FASTCHAT_CANN(aclrtMemcpyAsync)(destination, size_bytes, source, size_bytes, kind, stream);
    if (status != ACL_SUCCESS)
      check_status(status,
                   "aclrtMemcpyAsync",
                   fmt::format("{} bytes from {} to {}", size_bytes, source, destination));
  };
  if (calls_) {
    calls_->add(copy);
    return;
  }
  copy(handle_);
  if (launches_block()) synchronize();
}

void NpuStream::copy_from_host(void* destination, const void* source, std::size_t size_bytes) {
  copy_async(destination, source, size_bytes, ACL_MEMCPY_HOST_TO_DEVICE);
}

void NpuStream::copy_to_host(void* destination, const void* source, std::size_t size_bytes) {
  copy_async(destination, source, size_bytes, ACL_MEMCPY_DEVICE_TO_HOST);
}

void NpuStream::copy(void* destination, const void* source, std::size_t size_bytes) {
  copy_async(destination, source, size_bytes, ACL_MEMCPY_DEVICE_TO_DEVICE);
}

void NpuStream::copy_from_peer(void* destination,
                               const void* source,
                               Device& source_device,
                               std::size_t size_bytes) {
  auto* const other = dynamic_cast<NpuDevice*>(&source_device);
  check(other != nullptr,
        "npu: copy_from_peer from a {} device",
        to_string(source_device.info().kind));
  if (other != &device_) device_.enable_peer(*other);
  copy_async(destination, source, size_bytes, ACL_MEMCPY_DEVICE_TO_DEVICE);
}

void NpuStream::fill(void* destination, std::uint8_t value, std::size_t size_bytes) {
  if (size_bytes == 0 || mode_ == Mode::plans) return;
  device_.bind();
  const auto fill = [=](aclrtStream stream) {
    FASTCHAT_CANN_CALL(aclrtMemsetAsync, destination, size_bytes, value, size_bytes, stream);
  };
  if (calls_)
    calls_->add(fill);
  else
    fill(handle_);
}

void NpuStream::begin_capture() {
  refuse_while_recording("begin_capture");
  device_.bind();
  if (cann().has(Feature::graphs)) {
    // Of this thread only: the threads of other cards go on as they like.
    FASTCHAT_CANN_CALL(aclmdlRICaptureBegin, handle_, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL);
  } else {
    calls_ = std::make_unique<CallList>(device_);
  }
  recorded_adjustables_.clear();
  is_recording_ = has_recorded_ = true;
}

void NpuStream::enqueue_adjustable(CallList::Adjustable call,
                                   std::span<const std::int32_t> context_lens) {
  if (calls_) return calls_->add_adjustable(std::move(call), context_lens);
  if (!is_recording_) return call(*this, context_lens);
  device_.bind();
  FASTCHAT_CANN_CALL(aclmdlRICaptureTaskGrpBegin, handle_);
  std::span<std::byte> scratch;
  if (!scratch_.empty())
    scratch = {static_cast<std::byte*>(scratch_.back().data()) + scratch_used_,
               scratch_.back().size_bytes() - scratch_used_};
  call(*this, context_lens);
  aclrtTaskGrp group = nullptr;
  FASTCHAT_CANN_CALL(aclmdlRICaptureTaskGrpEnd, handle_, &group);
  recorded_adjustables_.push_back({.group = group, .enqueue = std::move(call), .scratch = scratch});
}

std::unique_ptr<Graph> NpuStream::end_capture() {
  check(is_recording_, "{}", "npu: end_capture without begin_capture");
  is_recording_ = false;
  if (calls_) return std::move(calls_);
  device_.bind();
  aclmdlRI handle = nullptr;
  FASTCHAT_CANN_CALL(aclmdlRICaptureEnd, handle_, &handle);
  return std::make_unique<NpuGraph>(device_, handle, std::exchange(recorded_adjustables_, {}));
}

void* NpuStream::take_scratch(std::size_t size_bytes) {
  const std::size_t padded =
      (size_bytes + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  if (mode_ == Mode::plans) {
    // Far from what else is planned with: some operators refuse results that lie over inputs.
    constexpr std::size_t kDistance = std::size_t{1} << 40;
    void* const planned = static_cast<char*>(scratch_.front().data()) + kDistance + scratch_used_;
    scratch_used_ += padded;
    peak_scratch_bytes_ = std::max(peak_scratch_bytes_, scratch_used_);
    return planned;
  }
  if (!borrowed_scratch_.empty()) {
    if (scratch_used_ + padded > borrowed_scratch_.size())
      throw OutOfMemory(
          fmt::format("an operation of a recorded step takes {} of scratch memory, it has {}",
                      format_bytes(scratch_used_ + padded),
                      format_bytes(borrowed_scratch_.size())));
    void* const taken = borrowed_scratch_.data() + scratch_used_;
    scratch_used_ += padded;
    return taken;
  }
  if (scratch_.empty() || scratch_used_ + padded > scratch_.back().size_bytes()) {
    if (is_recording_)
      throw OutOfMemory(
          fmt::format("a recorded step takes {} of scratch memory, {} were reserved",
                      format_bytes(scratch_used_ + padded),
                      format_bytes(scratch_.empty() ? 0 : scratch_.back().size_bytes())));
    const std::size_t last = scratch_.empty() ? 0 : scratch_.back().size_bytes();
    scratch_.push_back(
        device_.allocate(std::max({padded, 2 * last, kFirstScratchBytes}), "operations' scratch"));
    scratch_used_ = 0;
  }
  void* const taken = static_cast<char*>(scratch_.back().data()) + scratch_used_;
  scratch_used_ += padded;
  return taken;
}

void NpuStream::release_scratch() {
  scratch_used_ = 0;
  if (scratch_.size() <= 1) return;
  std::size_t total = 0;
  for (const Buffer& part : scratch_) total += part.size_bytes();
  synchronize();
  clear_scratch();
  scratch_.push_back(device_.allocate(total, "operations' scratch"));
}

void NpuStream::borrow_scratch(std::span<std::byte> scratch) {
  borrowed_scratch_ = scratch;
  scratch_used_ = 0;
}

void NpuStream::clear_scratch() {
  if (has_recorded_)
    for (Buffer& part : scratch_) recorded_scratch_.push_back(std::move(part));
  scratch_.clear();
}

void NpuStream::reserve_scratch(std::size_t size_bytes) {
  if (!scratch_.empty() && scratch_.back().size_bytes() >= size_bytes) return;
  synchronize();
  clear_scratch();
  scratch_used_ = 0;
  scratch_.push_back(device_.allocate(size_bytes, "operations' scratch"));
}

NpuStream& npu_stream(Stream& stream, std::string_view op) {
  auto* const own = dynamic_cast<NpuStream*>(&stream);
  check(own != nullptr, "{}: expected a stream of an npu", op);
  return *own;
}

}  // namespace fastchat::device::ascend
