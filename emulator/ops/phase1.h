// How an operator's first phase is written: take the operands down, refuse what the vendor refuses,
// leave a closure for the stream.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "emulator/op.h"
#include "emulator/ops/dtypes.h"
#include "emulator/ops/product.h"
#include "emulator/ops/view.h"

namespace emulator {

/// Thrown by checks, turned into the status that phase 1 returns.
struct Refusal {
  aclnnStatus code;
  std::string why;
};

/// A tensor argument, as phase 1 saw it. Copy it into the closure; Run::view finds its memory.
struct Operand {
  const char* argument = "";
  TensorMeta meta;
  size_t index = 0;
  bool is_input = false;
  bool is_output = false;

  aclDataType dtype() const { return meta.dtype; }
  const Dims& dims() const { return meta.dims; }
  int64_t rank() const { return static_cast<int64_t>(meta.dims.size()); }
  int64_t count() const { return count_of(meta.dims); }
  int64_t bytes() const { return count() * element_bytes(meta.dtype); }
  bool contiguous() const;
  bool fractal() const { return meta.format == ACL_FORMAT_FRACTAL_NZ; }
  /// Whether the stored matrix is the transpose of the view's last two dims.
  bool stored_transposed() const;
  /// storageDims of FRACTAL_NZ: (…, ⌈columns / C0⌉, ⌈rows / 16⌉, 16, C0) of the stored matrix.
  Dims fractal_dims() const;
  /// dims[axis]; negative axes count from the end.
  int64_t dim(int64_t axis) const;
};

struct Scalar {
  aclDataType dtype = ACL_DT_UNDEFINED;
  double real = 0;
  int64_t integer = 0;

  template <typename T>
  T as() const {
    if constexpr (std::is_integral_v<T>) {
      return is_floating(dtype) ? static_cast<T>(real) : static_cast<T>(integer);
    } else {
      return is_floating(dtype) ? static_cast<T>(real) : static_cast<T>(integer);
    }
  }
};

/// What the closure works with, on the stream's thread.
class Run {
 public:
  explicit Run(const RunContext& context) : context_(context) {}

  /// Inputs may be read, outputs and operands declared `in_place` written.
  HostView view(const Operand& operand) const;
  /// The elements at `offset` + Σ index · stride only: a few blocks of a large cache without
  /// touching the rest.
  HostView part(const Operand& operand,
                int64_t offset,
                const Dims& dims,
                const Dims& strides) const;
  /// The last two dims of an operand as the rows of a product: its row r, or its column r when
  /// `transposed`. `batch` counts matrices of the leading dims in row-major order.
  Matrix matrix(const Operand& operand, bool transposed, int64_t batch = 0) const;
  /// The first `count` elements of an output's storage as they lie, to be written.
  std::byte* storage(const Operand& operand, int64_t count) const;
  /// Fails the stream as a kernel's exception does (507015).
  [[noreturn]] void fault(const std::string& why) const;

 private:
  std::byte* address(const Operand& operand) const;

  const RunContext& context_;
};

class Phase1 {
 public:
  explicit Phase1(std::string name) { operation_.name = std::move(name); }

  // ---- arguments: 161001 for null, 161002 for what no operator accepts ----
  Operand input(const char* argument, const aclTensor* tensor);
  std::optional<Operand> optional(const char* argument, const aclTensor* tensor);
  Operand output(const char* argument, const aclTensor* tensor);
  std::optional<Operand> optional_output(const char* argument, const aclTensor* tensor);
  /// Read and written.
  Operand in_place(const char* argument, const aclTensor* tensor);
  std::vector<Operand> list(const char* argument, const aclTensorList* tensors);
  Scalar scalar(const char* argument, const aclScalar* scalar);
  Dims integers(const char* argument, const aclIntArray* array);
  std::optional<Dims> optional_integers(const aclIntArray* array);
  std::string text(const char* argument, const char* value);

  // ---- checks ----
  template <typename... Args>
  void require(bool holds, fmt::format_string<Args...> what, Args&&... args) const {
    if (!holds) refuse_with(161002, fmt::format(what, std::forward<Args>(args)...));
  }
  /// For constraints that the vendor notices while it chooses the tiling.
  template <typename... Args>
  void require_tiling(bool holds, fmt::format_string<Args...> what, Args&&... args) const {
    if (!holds) refuse_with(561002, fmt::format(what, std::forward<Args>(args)...));
  }
  [[noreturn]] void refuse_with(aclnnStatus code, const std::string& why) const;

  void dtype_in(const Operand& operand, std::initializer_list<aclDataType> dtypes) const;
  void same_dtype(const Operand& a, const Operand& b) const;
  void dims_are(const Operand& operand, const Dims& dims) const;
  void rank_in(const Operand& operand, int64_t least, int64_t most) const;
  void contiguous(const Operand& operand) const;
  /// A matrix in FRACTAL_NZ, or its transpose: storageDims must be those that the view gives, or,
  /// where `flat` is allowed, one number.
  void fractal_matrix(const Operand& operand, bool flat) const;
  /// A dim in [-rank, rank) as [0, rank).
  int64_t axis(const char* argument, int64_t value, int64_t rank) const;

  // ---- what remains ----
  /// Memory the operator asks for besides its operands; what is asked for is overwritten when it
  /// runs.
  void workspace(int64_t bytes) { operation_.workspace_bytes += static_cast<uint64_t>(bytes); }
  // For the paced mode. Operands count as read or written once, those in place as both.
  /// Of 16-bit products, and of 8-bit ones.
  void flops(double count) { operation_.work.flops += count; }
  void int8_flops(double count) { operation_.work.int8_flops += count; }
  /// For an operand of which only so many bytes are read or written.
  void touches(const Operand& operand, double bytes);
  void run(std::function<void(const Run&)> closure) { closure_ = std::move(closure); }

  aclnnStatus finish(uint64_t* workspace_size, aclOpExecutor** executor);

 private:
  Operand take(const char* argument, const TensorMeta& tensor, bool is_input, bool is_output);

  Operation operation_;
  std::function<void(const Run&)> closure_;
};

/// Phase 1 of operator `name`: build(Phase1&) takes the arguments, checks and leaves the closure.
aclnnStatus phase1(const char* name,
                   uint64_t* workspace_size,
                   aclOpExecutor** executor,
                   const std::function<void(Phase1&)>& build);

/// Memory that operators of the cube unit ask for on top of their own needs, as the vendor's do;
/// and those of the vector unit with a plan of their own.
constexpr int64_t kCubeWorkspace = int64_t{16} << 20;
constexpr int64_t kVectorWorkspace = int64_t{32} << 10;

}  // namespace emulator

/// Heads the definition of an operator's phase 1, arguments without the last two, and defines its
/// phase 2, which is the same for all:
///   EMULATOR_OPERATOR(aclnnMul, const aclTensor* self, …, aclTensor* out) {
///     return phase1("aclnnMul", workspace_size, executor, [&](Phase1& op) { … });
///   }
#define EMULATOR_OPERATOR(NAME, ...)                                                           \
  extern "C" aclnnStatus NAME(                                                                 \
      void* workspace, uint64_t workspace_size, aclOpExecutor* executor, aclrtStream stream) { \
    return emulator::run_executor(workspace, workspace_size, executor, stream, #NAME);         \
  }                                                                                            \
  extern "C" aclnnStatus NAME##GetWorkspaceSize(                                               \
      __VA_ARGS__, uint64_t* workspace_size, aclOpExecutor** executor)
