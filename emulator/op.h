// What an emulated operator is made of, and what the core offers it. The seam between emulator/
// (streams, memory, tensors, executors, capture) and emulator/ops/ (arithmetic and the vendor's
// rules about arguments).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/ascend/cann.h"
#include "emulator/costs.h"

namespace emulator {

class Storage;  // of card memory

/// A tensor as phase 1 took it down; it outlives the client's aclTensor. Units: elements, and an
/// address on a card.
struct TensorMeta {
  aclDataType dtype = ACL_DT_UNDEFINED;
  aclFormat format = ACL_FORMAT_ND;
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;  // as many as dims; 0 broadcasts
  std::vector<int64_t> storage_dims;
  int64_t offset = 0;
  void* address = nullptr;  // base of the storage; element 0 lies at address + offset
  // Of an operator's tensors: where what it may touch begins, counted from `address`, and its size.
  size_t first_byte = 0;
  size_t reach_bytes = 0;
};

/// Card memory, made visible to the host while an operator runs on its stream. The pointers hold
/// until the operator returns. One thread at a time; kernels may share the pointers among threads.
class CardMemory {
 public:
  explicit CardMemory(int card) : card_(card) {}

  /// Bytes at a device address. Untouched memory reads as 0xFF (NaN in every float type). Throws
  /// DeviceFault 507015 when the range is not inside one live allocation of this card, or of one
  /// it has peer access to.
  const std::byte* read(const void* address, size_t bytes) { return find(address, bytes, false); }
  /// The same for reading and writing.
  std::byte* write(void* address, size_t bytes) { return find(address, bytes, false); }
  /// For a range of which every byte will be written: it is not filled with 0xFF first.
  std::byte* overwrite(void* address, size_t bytes) { return find(address, bytes, true); }
  /// Throws as the others do, and touches nothing.
  void check(const void* address, size_t bytes) const;

  int card() const { return card_; }
  /// Throws DeviceFault 507015 when something that was handed out has been freed since.
  void check_alive() const;

 private:
  std::byte* find(const void* address, size_t bytes, bool all_written);
  uint64_t reachable() const;

  int card_;
  std::vector<std::shared_ptr<Storage>> used_;
};

/// Thrown inside Operation::run: the stream and its card report `code` from then on. 507015 is a
/// kernel's bad address or index.
struct DeviceFault {
  aclError code;
  std::string message;
};

/// What Operation::run works on. The tensors are those of the Operation with the addresses of this
/// launch.
struct RunContext {
  CardMemory& memory;
  const std::vector<TensorMeta>& inputs;
  const std::vector<TensorMeta>& outputs;
  void* workspace;  // a device address, of Operation::workspace_bytes; full of rubbish
};

/// What phase 1 leaves behind. Host arrays and scalars have been read by then, into the closure.
struct Operation {
  std::string name;  // "aclnnMm"
  uint64_t workspace_bytes = 0;
  /// Tensors in the order of the signature; those of a list one after the other; null ones left
  /// out. One that is both (selfRef) counts as an input and stands in both.
  std::vector<TensorMeta> inputs;
  std::vector<TensorMeta> outputs;
  /// Where an input is a list: how many tensors each tensor argument holds, inputs only. Empty: one
  /// each.
  std::vector<size_t> input_list_sizes;
  std::function<void(const RunContext&)> run;
  Work work;  // for the paced mode
  /// False for operators that the vendor cannot repeat (561xxx from aclSetAclOpExecutorRepeatable).
  bool repeatable = true;
};

/// Every phase 1 ends with one of the next two. accept() sets the sizes and the executor and checks
/// what all operators have in common: output pointers (161001), a current device, ASCEND_OPP_PATH
/// (561107), the kernel package (561112), 32-byte aligned addresses (161002). Null addresses pass:
/// phase 1 may run only to learn the workspace.
aclnnStatus accept(Operation operation, uint64_t* workspace_size, aclOpExecutor** executor);
/// Sets aclGetRecentErrMsg to `why` and returns `code`.
aclnnStatus refuse(aclnnStatus code, const std::string& why);

/// Phase 2 of every operator: checks executor, stream and workspace, and enqueues (or records,
/// while capturing).
aclnnStatus run_executor(void* workspace,
                         uint64_t workspace_size,
                         aclOpExecutor* executor,
                         aclrtStream stream,
                         const char* name);

/// Looks into the client's objects. Null for null, and for a handle that is not alive (with a
/// message for aclGetRecentErrMsg). The pointers hold while the object lives.
const TensorMeta* meta(const aclTensor* tensor);
const std::vector<TensorMeta>* metas(const aclTensorList* list);
const std::vector<int64_t>* ints(const aclIntArray* array);
const std::vector<float>* floats(const aclFloatArray* array);
const std::vector<bool>* bools(const aclBoolArray* array);

struct ScalarValue {
  aclDataType dtype = ACL_DT_UNDEFINED;
  double as_double = 0;  // of every dtype
  int64_t as_int = 0;    // of integer and bool dtypes; floating ones truncated
};
std::optional<ScalarValue> scalar(const aclScalar* scalar);

/// 800, 810, 820, 830, 850, 900: per-version rules.
int cann_version();
/// As configured, "Ascend910B1".
const std::string& soc_name();

}  // namespace emulator
