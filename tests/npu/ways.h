// Ways to use several cards, for tests.
#pragma once

#include <cstdint>
#include <cstdlib>
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

/// How decode steps reach the card.
enum class Steps : std::uint8_t { recorded, with_lengths, eager };
inline constexpr Steps kEverySteps[] = {Steps::recorded, Steps::with_lengths, Steps::eager};

inline const char* to_string(Steps steps) {
  switch (steps) {
    case Steps::recorded:
      return "recorded";
    case Steps::with_lengths:
      return "recorded with lengths";
    case Steps::eager:
      break;
  }
  return "eager";
}

/// `options` on the cards of a way. Sets FASTCHAT_GRAPH_LENGTHS for models from here on.
inline serve::ModelOptions on_cards(serve::ModelOptions options,
                                    const Way& way,
                                    Steps steps = Steps::recorded) {
  ::setenv("FASTCHAT_GRAPH_LENGTHS", steps == Steps::with_lengths ? "exact" : "padded", 1);
  options.device = "npu";
  options.num_gpus = way.num_cards;
  options.parallel.request = {.mode = way.mode, .tensor_size = way.tensor_size};
  options.parallel.num_replicas = way.num_replicas;
  options.enforce_eager = steps == Steps::eager;
  return options;
}

}  // namespace fastchat::demo_test
