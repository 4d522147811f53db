// Bytes and times of every contiguous range of layers on every group of devices.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/planner.h"

namespace fastchat::parallel {

/// A way to use the devices: `pipeline_size` groups of `tensor_size` consecutive devices.
struct Layout {
  ParallelMode mode = ParallelMode::layer;
  int pipeline_size = 1;
  int tensor_size = 1;
  int num_micro_batches = 1;
  int steps_in_flight = 1;
  /// How the tensors of a group are shared: 0 in proportion to memory, 1 to speed.
  double by_speed = 0.0;
};

/// Whether times count what starting operations and waiting for other devices cost.
enum class Overheads : std::uint8_t { counted, left_out };

class StageCosts {
 public:
  /// `request` outlives it. Throws Failure when a group cannot share the tensors: see
  /// split_tensors.
  StageCosts(const PlanRequest& request, const Layout& layout);

  int num_layers() const { return num_layers_; }
  int num_groups() const { return layout_.pipeline_size; }
  int group_size() const { return layout_.tensor_size; }
  const Layout& layout() const { return layout_; }
  /// Position in the request's devices.
  int device(int group, int rank) const { return group * group_size() + rank; }
  const TensorSplit& split(int group) const { return splits_[static_cast<std::size_t>(group)]; }

  // Bytes of layers [first, last), first < last, on the rank of a group; sums that would not fit
  // 64 bits are the largest number.
  std::uint64_t budget(int device) const { return member(device).budget; }
  std::uint64_t weights(int device, int first, int last) const;
  std::uint64_t kv_per_block(int device, int first, int last) const;
  std::uint64_t workspace(int device, int first, int last) const;
  std::uint64_t needed(int device, int first, int last, std::int64_t num_blocks) const;
  /// KV blocks that the device holds beside these layers; -1 when it has no room for the layers
  /// themselves.
  std::int64_t device_capacity(int device, int first, int last) const;
  /// The least over the devices of a group.
  std::int64_t capacity(int group, int first, int last) const;
  /// KV of one block over all layers and devices.
  std::uint64_t kv_per_block() const;

  /// Seconds that a group computes per prompt token, prompts being as long as the workload's.
  double prefill_s(int group, int first, int last, Overheads overheads = Overheads::counted) const;
  /// Seconds of one decode step of `num_seqs` sequences in the middle of their answers.
  double decode_s(int group,
                  int first,
                  int last,
                  std::int64_t num_seqs,
                  Overheads overheads = Overheads::counted) const;
  /// Seconds that a group is busy with the whole workload.
  double busy_s(int group, int first, int last) const;
  /// Sequences of a micro-batch, and micro-batches that decode together.
  std::int64_t micro_batch_seqs() const;
  std::int64_t num_busy_micro_batches() const;

 private:
  struct Member {
    ModelSizes sizes;
    DeviceSpeed speed;
    std::uint64_t budget = 0;
    std::uint64_t workspace = 0;
    std::uint64_t workspace_with_head = 0;
    std::vector<std::uint64_t> weights;  // [num_layers + 1] sums of the layers before
    std::vector<std::uint64_t> kv;
  };
  const Member& member(int device) const { return members_[static_cast<std::size_t>(device)]; }
  void add_member(const ModelSizes& sizes, const DeviceBudget& device);
  std::vector<double> share_weights(int group) const;
  double meeting_s(int device, double tokens, int num_layers, Overheads overheads) const;

  const PlanRequest& request_;
  Layout layout_;
  PlanRequest bounds_;  // of the steps, with the layout's steps in flight
  int num_layers_ = 0;
  std::vector<TensorSplit> splits_;
  std::vector<Member> members_;
};

/// Speeds of a device of which nothing is known: all are alike.
DeviceSpeed known_speed(const DeviceSpeed& speed);

}  // namespace fastchat::parallel
