// The two phases that all operators share, and the entry points for executors.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include "emulator/executor.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "emulator/errors.h"
#include "emulator/handles.h"
#include "emulator/op.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

namespace emulator {
namespace {

constexpr uintptr_t kTensorAlignment = 32;
constexpr size_t kScribbled = size_t{1} << 20;  // of a large workspace: so much at either end
constexpr int kRubbish = 0xA5;

HandleTable<Executor, 8>& executors() {
  static HandleTable<Executor, 8>& table = *new HandleTable<Executor, 8>();
  return table;
}

bool is_folder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The operators' package, which clients find by environment variable, has to be there.
void require_operators() {
  const char* opp = std::getenv("ASCEND_OPP_PATH");
  thread_local std::string found;  // looking at folders takes longer than all the rest
  if (opp != nullptr && *opp != '\0' && found == opp) return;
  if (opp == nullptr || !is_folder(opp)) {
    refuse_call(ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND,
                fmt::format("ASCEND_OPP_PATH={}: expected the folder opp of a CANN",
                            opp == nullptr ? "" : opp));
  }
  if (!is_folder(std::string(opp) + "/built-in/op_impl/ai_core/tbe/kernel")) {
    refuse_call(ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND,
                fmt::format("{}: the package of operator kernels is not installed there", opp));
  }
  found = opp;
}

void require_alignment(const std::string& name,
                       const std::vector<TensorMeta>& tensors,
                       const char* kind) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (reinterpret_cast<uintptr_t>(tensors[i].address) % kTensorAlignment != 0) {
      refuse_call(ACLNN_ERR_PARAM_INVALID,
                  fmt::format("{}: {} {} lies at {}: expected a multiple of {} bytes",
                              name,
                              kind,
                              i,
                              tensors[i].address,
                              kTensorAlignment));
    }
  }
}

void scribble(CardMemory& memory, void* workspace, uint64_t bytes) {
  if (bytes <= 2 * kScribbled) {
    std::memset(memory.overwrite(workspace, bytes), kRubbish, bytes);
    return;
  }
  auto* first = static_cast<std::byte*>(workspace);
  std::memset(memory.overwrite(first, kScribbled), kRubbish, kScribbled);
  std::memset(memory.overwrite(first + (bytes - kScribbled), kScribbled), kRubbish, kScribbled);
}

struct Range {
  const std::byte* address;
  size_t bytes;
};

// What is left to do in the paced mode: memory that an operator may touch must be there.
std::function<void(Stream&)> check_ranges(const Executor& executor, const void* workspace) {
  std::vector<Range> ranges;
  ranges.reserve(executor.inputs.size() + executor.outputs.size() + 1);
  for (const auto* tensors : {&executor.inputs, &executor.outputs}) {
    for (const TensorMeta& tensor : *tensors) {
      ranges.push_back(
          {static_cast<const std::byte*>(tensor.address) + tensor.first_byte, tensor.reach_bytes});
    }
  }
  ranges.push_back({static_cast<const std::byte*>(workspace), executor.operation->workspace_bytes});
  return [ranges = std::move(ranges)](Stream& stream) {
    const CardMemory memory(stream.card->id);
    for (const Range& range : ranges) memory.check(range.address, range.bytes);
  };
}

std::function<void(Stream&)> compute(const Executor& executor, void* workspace) {
  return [operation = executor.operation,
          inputs = executor.inputs,
          outputs = executor.outputs,
          workspace](Stream& stream) {
    CardMemory memory(stream.card->id);
    if (operation->workspace_bytes > 0) scribble(memory, workspace, operation->workspace_bytes);
    operation->run({memory, inputs, outputs, workspace});
    memory.check_alive();
  };
}

Task launch(const Executor& executor, void* workspace) {
  return {.kind = Task::Kind::op,
          .name = executor.operation->name,
          .run = paced() ? check_ranges(executor, workspace) : compute(executor, workspace),
          .duration = costs().operation(executor.operation->work)};
}

// Codes of the runtime that stop phase 1 or 2 reach clients as 361001; the text has the number.
template <typename Body>
aclnnStatus guarded_operator(const char* name, const Body& body) {
  return guarded(name, [&] {
    try {
      body();
    } catch (const Refused& refused) {
      const bool of_runtime = refused.code / 1000 == 107 || refused.code / 1000 == 207 ||
                              refused.code / 1000 == 507 || refused.code / 1000 == 100;
      if (!of_runtime) throw;
      refuse_call(ACLNN_ERR_RUNTIME_ERROR, fmt::format("{}: {}", refused.code, refused.why));
    }
  });
}

std::shared_ptr<Executor> require_executor(const aclOpExecutor* executor) {
  if (executor == nullptr) refuse_call(ACLNN_ERR_INNER_NULLPTR, "the executor is null");
  auto found = executors().find(executor);
  if (!found) refuse_call(ACLNN_ERR_INNER_NULLPTR, "the executor is not alive");
  return found;
}

}  // namespace

aclnnStatus accept(Operation operation, uint64_t* workspace_size, aclOpExecutor** executor) {
  const std::string name = operation.name + "GetWorkspaceSize";
  return guarded_operator(name.c_str(), [&] {
    if (workspace_size == nullptr || executor == nullptr) {
      refuse_call(ACLNN_ERR_PARAM_NULLPTR,
                  "the pointer for the workspace size or the executor is null");
    }
    const auto context = require_context();
    require_operators();
    require_alignment(operation.name, operation.inputs, "input");
    require_alignment(operation.name, operation.outputs, "output");
    auto made = std::make_shared<Executor>();
    made->card = context->card->id;
    made->inputs = std::move(operation.inputs);
    made->outputs = std::move(operation.outputs);
    *workspace_size = operation.workspace_bytes;
    made->operation = std::make_shared<const Operation>(std::move(operation));
    *executor = static_cast<aclOpExecutor*>(executors().add(std::move(made)));
  });
}

aclnnStatus refuse(aclnnStatus code, const std::string& why) {
  remember_error("phase 1", code, why);
  return code;
}

aclnnStatus run_executor(void* workspace,
                         uint64_t workspace_size,
                         aclOpExecutor* executor,
                         aclrtStream stream,
                         const char* name) {
  return guarded_operator(name, [&] {
    if (executor == nullptr) refuse_call(ACLNN_ERR_INNER_NULLPTR, "the executor is null");
    const auto found = executors().find(executor);
    if (!found) {
      client_bug(fmt::format(
          "{} with an executor that is spent or destroyed: an executor serves one phase 2, unless "
          "aclSetAclOpExecutorRepeatable was called",
          name));
    }
    const Operation& operation = *found->operation;
    if (operation.name != name) {
      refuse_call(ACLNN_ERR_PARAM_INVALID,
                  fmt::format("{} with an executor of {}", name, operation.name));
    }
    if (operation.workspace_bytes > 0 && workspace == nullptr) {
      refuse_call(ACLNN_ERR_PARAM_NULLPTR,
                  fmt::format("no workspace; expected {} bytes", operation.workspace_bytes));
    }
    if (workspace_size < operation.workspace_bytes) {
      refuse_call(
          ACLNN_ERR_PARAM_INVALID,
          fmt::format(
              "a workspace of {} bytes; expected {}", workspace_size, operation.workspace_bytes));
    }
    const auto where = require_stream(stream);
    if (where->card->id != found->card) {
      refuse_call(
          ACLNN_ERR_RUNTIME_ERROR,
          fmt::format(
              "phase 1 ran for card {}, phase 2 for card {}", found->card, where->card->id));
    }
    if (!found->is_repeatable) executors().remove(executor);
    submit(*where, launch(*found, workspace));
  });
}

namespace {

// Index of the tensor among all of an argument list in which lists hold several.
size_t flat_index(const Operation& operation, size_t argument, size_t relative) {
  size_t flat = 0;
  for (size_t i = 0; i < argument; ++i) {
    flat += i < operation.input_list_sizes.size() ? operation.input_list_sizes[i] : 1;
  }
  return flat + relative;
}

void patch(std::vector<TensorMeta>& tensors, size_t index, void* data) {
  if (index >= tensors.size()) {
    refuse_call(ACLNN_ERR_PARAM_INVALID, fmt::format("tensor {} of {}", index, tensors.size()));
  }
  if (reinterpret_cast<uintptr_t>(data) % kTensorAlignment != 0) {
    refuse_call(ACLNN_ERR_PARAM_INVALID,
                fmt::format("{}: expected a multiple of {} bytes", data, kTensorAlignment));
  }
  tensors[index].address = data;
}

enum class Which { any, input, output };

aclnnStatus patch_address(const char* call,
                          aclOpExecutor* executor,
                          Which which,
                          size_t argument,
                          size_t relative,
                          const void* object,
                          void* data) {
  return guarded(call, [&] {
    if (object == nullptr) refuse_call(ACLNN_ERR_INNER_NULLPTR, "the tensor is null");
    const auto found = require_executor(executor);
    if (!found->is_repeatable)
      refuse_call(ACLNN_ERR_PARAM_INVALID, "the executor is not repeatable");
    const size_t flat = which == Which::output ? argument + relative
                                               : flat_index(*found->operation, argument, relative);
    const bool is_output =
        which == Which::output || (which == Which::any && flat >= found->inputs.size());
    if (!is_output) return patch(found->inputs, flat, data);
    patch(found->outputs, which == Which::output ? flat : flat - found->inputs.size(), data);
  });
}

}  // namespace
}  // namespace emulator

using namespace emulator;  // NOLINT(google-build-using-namespace)

aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  return guarded("aclSetAclOpExecutorRepeatable", [&] {
    const auto found = require_executor(executor);
    if (!found->operation->repeatable) {
      refuse_call(ACLNN_ERR_INNER,
                  found->operation->name + " copies host data inside and cannot be repeated");
    }
    found->is_repeatable = true;
  });
}

aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor* executor) {
  return guarded("aclDestroyAclOpExecutor", [&] {
    require_executor(executor);
    executors().remove(executor);
  });
}

aclnnStatus aclSetTensorAddr(aclOpExecutor* executor,
                             const size_t index,
                             aclTensor* tensor,
                             void* data) {
  return patch_address("aclSetTensorAddr", executor, Which::any, index, 0, tensor, data);
}

aclnnStatus aclSetInputTensorAddr(aclOpExecutor* executor,
                                  const size_t index,
                                  aclTensor* tensor,
                                  void* data) {
  return patch_address("aclSetInputTensorAddr", executor, Which::input, index, 0, tensor, data);
}

aclnnStatus aclSetOutputTensorAddr(aclOpExecutor* executor,
                                   const size_t index,
                                   aclTensor* tensor,
                                   void* data) {
  return patch_address("aclSetOutputTensorAddr", executor, Which::output, index, 0, tensor, data);
}

aclnnStatus aclSetDynamicTensorAddr(aclOpExecutor* executor,
                                    size_t index,
                                    const size_t relative_index,
                                    aclTensorList* list,
                                    void* data) {
  return patch_address(
      "aclSetDynamicTensorAddr", executor, Which::any, index, relative_index, list, data);
}

aclnnStatus aclSetDynamicInputTensorAddr(aclOpExecutor* executor,
                                         size_t index,
                                         const size_t relative_index,
                                         aclTensorList* list,
                                         void* data) {
  return patch_address(
      "aclSetDynamicInputTensorAddr", executor, Which::input, index, relative_index, list, data);
}

aclnnStatus aclSetDynamicOutputTensorAddr(aclOpExecutor* executor,
                                          size_t index,
                                          const size_t relative_index,
                                          aclTensorList* list,
                                          void* data) {
  return patch_address(
      "aclSetDynamicOutputTensorAddr", executor, Which::output, index, relative_index, list, data);
}
// NOLINTEND(readability-identifier-naming)
