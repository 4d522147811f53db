// Ways to use several cards, for tests.
#pragma once

#include <string>
#include <vector>

#include "serve/model_options.h"

namespace fastchat::demo_test {

struct Way {
  std::string name;
  int num_cards = 1;
  parallel::ParallelMode mode = parallel::ParallelMode::layer;
  int tensor_size = 0;
  int num_replicas = 1;
};

inline std::vector<Way> ways() {
  using parallel::ParallelMode;
  return {{"layer1", 1, ParallelMode::layer},
          {"layer2", 2, ParallelMode::layer},
          {"layer4", 4, ParallelMode::layer},
          {"pipeline3", 3, ParallelMode::pipeline},
          {"tensor2", 2, ParallelMode::tensor},
          {"tensor3", 3, ParallelMode::tensor},
          {"pipeline2xtensor2", 4, ParallelMode::pipeline, 2},
          {"layer2xtensor2", 4, ParallelMode::layer, 2},
          {"copies2xtensor2", 4, ParallelMode::tensor, 2, 2},
          {"copies3", 3, ParallelMode::layer, 0, 3}};
}

/// `options` on the cards of a way.
inline serve::ModelOptions on_cards(serve::ModelOptions options,
                                    const Way& way,
                                    bool eager = false) {
  options.device = "npu";
  options.num_gpus = way.num_cards;
  options.parallel.request = {.mode = way.mode, .tensor_size = way.tensor_size};
  options.parallel.num_replicas = way.num_replicas;
  options.enforce_eager = eager;
  return options;
}

}  // namespace fastchat::demo_test
