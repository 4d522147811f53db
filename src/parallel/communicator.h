// Communicator: what the devices that compute one stage together tell each other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/device.h"
#include "parallel/placement.h"

namespace fastchat::parallel {

/// One rank's end of a group. Every rank of the group makes the same calls in the same order, each
/// on the stream its end was made for; a call enqueues and returns, and the devices meet there
/// later. A failure on any rank fails the call on all of them instead of leaving the others
/// waiting. Calls are made by the rank's thread, abort() by any.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Before any other call, on each rank's thread: returns when all ranks are there. Throws Failure
  /// naming the rank that is not.
  virtual void connect() {}

  /// data = the sum of all ranks' data, added in the order of ranks: the same bits on every rank.
  ///   data [n, width], dense, in place; equal shapes; f32, on npu f16 and bf16 too
  virtual void all_reduce(device::TensorView data) = 0;
  /// The ranks' parts side by side in the order of ranks: rank r has `columns.part(r)`.
  ///   part T [n, width of this rank], rows may be strided, may lie in its place in `out`
  ///   out  T [n, sum of widths]
  virtual void all_gather(device::TensorView part,
                          device::TensorView out,
                          const AxisSplit& columns) = 0;
  /// As all_gather, on rank 0 only; `out` is empty on the others.
  virtual void gather(device::TensorView part,
                      device::TensorView out,
                      const AxisSplit& columns) = 0;
  /// data = rank 0's data.   i32 [n], dense, equal shapes
  virtual void broadcast(device::TensorView data) = 0;

  /// What is enqueued on any rank, and what will be until reset(), fails with `reason`. For a rank
  /// that could not enqueue what the others wait for.
  virtual void abort(const std::string& reason) = 0;
  /// After an abort: usable again. All streams of the group are idle, no rank calls meanwhile.
  virtual void reset() = 0;
};

/// The ends of one group, in the order of ranks; `streams` outlive them and are idle when they go.
/// Throws Failure for kinds of device that have none, or a mixture of kinds.
std::vector<std::unique_ptr<Communicator>> create_communicators(
    const std::vector<device::Stream*>& streams);

}  // namespace fastchat::parallel
