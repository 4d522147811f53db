// How the devices work together: the flags of the parallel modes.
#pragma once

#include <string>

#include "parallel/planner.h"
#include "parallel/replicas.h"

namespace CLI {  // NOLINT(readability-identifier-naming): their name
class App;
}

namespace fastchat::serve {

struct ParallelOptions {
  parallel::ParallelRequest request{.mode = parallel::ParallelMode::automatic};
  int num_replicas = 0;  // --data-parallel-size; 0: the planner's choice, or 1 with a mode or size
  parallel::Workload workload;
};

/// --parallel, --pipeline-parallel-size, --tensor-parallel-size, --data-parallel-size and what
/// speed is planned for. `options` outlives the parse.
void add_parallel_options(CLI::App& app, ParallelOptions& options);

/// The flags of the plan's mode, as --parallel auto prints its choice: "--parallel tensor".
std::string mode_name(parallel::ParallelMode mode, int pipeline_size, int tensor_size);

/// The mode of a plan with its copies: "2 copies (--data-parallel-size 2), each tensor".
std::string mode_name(const parallel::ReplicaPlan& planned);

/// One line: what --parallel auto chose and what it compared; empty when there was no choice.
std::string choice_text(const parallel::ReplicaPlan& planned, const parallel::Workload& workload);

}  // namespace fastchat::serve
