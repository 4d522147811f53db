// Graph capture: what streams do while they record, and what the vendor forbids then. All but
// `check_unsafe_call` are called with the runtime's lock held.
#pragma once

#include "emulator/runtime.h"

namespace emulator {

/// The stream takes part in the capture, if it does not yet. 207008: a graph holds as many of the
/// card's streams as it was captured on.
void join_capture(Stream& stream, const std::shared_ptr<Capture>& capture);
/// Whether the origin has waited for the work of every stream.
bool all_joined(Capture& capture);
/// What aclmdlRICaptureThreadExchangeMode sets for this thread.
aclmdlRICaptureMode& thread_capture_mode();

/// Takes the task down in the graph of the stream's capture. Refuses kinds that cannot be captured.
void record(Stream& stream, TaskPtr task);
/// Takes the task down as a new version of the next task of the group that the stream updates.
void collect_update(Stream& stream, TaskPtr task);

/// An event of kind `ex` recorded on a capturing stream: it stands for the work captured so far.
void capture_event(Stream& stream, Event& event);
/// The stream waits for an event while one of both is captured; joins the capture if need be. False
/// when none is, and the wait is an ordinary one.
bool capture_wait(const std::shared_ptr<Stream>& stream, Event& event);

/// From then on aclmdlRICaptureEnd gives 507903.
void invalidate(Capture& capture);
/// All streams leave it.
void end_capture(Capture& capture);
/// 107027, and the capture is spoilt, when the stream is capturing.
void refuse_captured(Stream& stream, const char* what);

/// For calls that cannot be recorded and would break a capture: refused where the modes of the
/// captures under way say so. `asynchronous`: a copy with pageable host memory. Takes the lock.
void check_unsafe_call(const char* what, bool asynchronous = false);

}  // namespace emulator
