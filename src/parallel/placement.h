// Placement: which device holds which layers. Plain data, decided by the planner, followed by model
// and engine.
#pragma once

#include <cstdint>
#include <vector>

namespace fastchat::parallel {

/// Contiguous layers on a group of devices. A group of one is a whole stage on one card; larger
/// groups split each tensor inside the stage (tensor mode).
struct StagePlacement {
  std::vector<int> devices;  // positions in the list of devices given to the planner, in rank order
  int first_layer = 0;
  int num_layers = 0;
  bool has_embedding = false;  // first stage
  bool has_head = false;       // last stage: final norm and output projection
};

struct Placement {
  std::vector<StagePlacement> stages;  // in the order of layers
};

}  // namespace fastchat::parallel
