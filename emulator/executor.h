// Executors: what phase 1 of an operator hands to phase 2.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "emulator/op.h"

namespace emulator {

struct Executor {
  std::shared_ptr<const Operation> operation;
  int card = 0;  // current at phase 1
  bool is_repeatable = false;
  // With the addresses of the next launch.
  std::vector<TensorMeta> inputs;
  std::vector<TensorMeta> outputs;
};

}  // namespace emulator
