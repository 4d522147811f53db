// Placement: which device holds which layers, and which part of each tensor. Plain data, decided by
// the planner, followed by model and engine.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace fastchat::parallel {

/// Indices [begin, begin + count) of an axis.
struct AxisRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t end() const { return begin + count; }
  bool operator==(const AxisRange&) const = default;
};

/// An axis cut into contiguous parts, one per rank of a group: rank r has [boundaries[r],
/// boundaries[r + 1]). The parts need not be equal.
struct AxisSplit {
  std::vector<std::int64_t> boundaries;  // [ranks + 1], rising, from 0
  AxisRange part(int rank) const {
    const auto r = static_cast<std::size_t>(rank);
    return {boundaries[r], boundaries[r + 1] - boundaries[r]};
  }
};

/// The axes along which a decoder's tensors can be split, and in what units.
struct TensorAxes {
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t intermediate = 0;
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;
  std::int64_t unit = 1;  // of intermediate, hidden and vocab: lcm of what the kernels and the
                          // quantization groups ask for; smaller axes are cut finer
};

/// How the ranks of a group share the tensors of their layers: query heads with their columns of
/// q, k, v and rows of the output projection; intermediate columns of gate, up and down; hidden
/// columns of the embedding; vocabulary rows of the head. Norms are on every rank, what
/// attention and MLP add to the residual is partial and summed.
struct TensorSplit {
  AxisSplit heads;
  AxisSplit intermediate;
  AxisSplit hidden;
  AxisSplit vocab;
  int size() const { return static_cast<int>(heads.boundaries.size()) - 1; }
};

/// What one rank of a group has. A group of one has everything.
struct TensorShare {
  int rank = 0;
  int size = 1;
  AxisRange heads;
  AxisRange kv_heads;  // those its query heads attend to; with more ranks than KV heads, several
                       // ranks have the same one
  AxisRange intermediate;
  AxisRange hidden;
  AxisRange vocab;
};

/// Splits every axis over as many ranks as there are weights, in proportion to them as far as the
/// units allow. A rank's query heads are whole groups (the heads of one KV head), or lie within one
/// group, so that they all have equally many per KV head. Every rank gets something of each axis.
/// Errors (invalid_request): more ranks than query heads, or an axis that is too short.
Result<TensorSplit> split_tensors(const TensorAxes& axes, const std::vector<double>& weights);

TensorShare share_of(const TensorAxes& axes, const TensorSplit& split, int rank);
/// Everything: the share of a group of one.
TensorShare whole_share(const TensorAxes& axes);

/// Contiguous layers on a group of devices. A group of one is a whole stage on one card; larger
/// groups split each tensor inside the stage (tensor mode).
struct StagePlacement {
  std::vector<int> devices;  // positions in the list of devices given to the planner, in rank order
  int first_layer = 0;
  int num_layers = 0;
  bool has_embedding = false;  // first stage
  bool has_head = false;       // last stage: final norm and output projection
  TensorSplit split;           // over `devices`; empty for one
};

struct Placement {
  std::vector<StagePlacement> stages;  // in the order of layers
};

/// What the `rank`-th device of a stage has.
TensorShare share_of(const TensorAxes& axes, const StagePlacement& stage, int rank);

}  // namespace fastchat::parallel
