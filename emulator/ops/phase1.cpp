#include "emulator/ops/phase1.h"

#include <algorithm>

namespace emulator {
namespace {

constexpr aclnnStatus kNullParameter = 161001;
constexpr aclnnStatus kInvalidParameter = 161002;
constexpr aclError kVectorCoreException = 507015;

/// Elements from the first to the last of a view; 0 for an empty one.
int64_t reach_of(const Dims& dims, const Dims& strides) {
  int64_t reach = 1;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    if (dims[axis] == 0) return 0;
    reach += (dims[axis] - 1) * strides[axis];
  }
  return reach;
}

/// Elements of the storage from the view's first to its last.
int64_t stored_count(const Operand& operand) {
  if (!operand.fractal() || operand.rank() < 2 || operand.count() == 0)
    return reach_of(operand.dims(), operand.meta.strides);
  return count_of(operand.fractal_dims());
}

/// What an operator reads and writes of an operand unless it says otherwise.
double counted_bytes(const Operand& operand) {
  const int64_t count =
      std::min(reach_of(operand.dims(), operand.meta.strides), count_of(operand.dims()));
  const auto bytes = static_cast<double>(count * element_bytes(operand.dtype()));
  return operand.is_input && operand.is_output ? 2 * bytes : bytes;
}

bool plain(aclFormat format) {
  return format == ACL_FORMAT_ND || format == ACL_FORMAT_NCHW || format == ACL_FORMAT_NCDHW ||
         format == ACL_FORMAT_NC || format == ACL_FORMAT_NCL;
}

}  // namespace

bool Operand::contiguous() const {
  int64_t step = 1;
  for (size_t axis = meta.dims.size(); axis-- > 0;) {
    if (meta.dims[axis] == 0) return true;
    if (meta.dims[axis] != 1 && meta.strides[axis] != step) return false;
    step *= meta.dims[axis];
  }
  return true;
}

bool Operand::stored_transposed() const {
  const size_t last = meta.dims.size() - 1;
  return meta.strides[last] != 1 && meta.strides[last - 1] == 1;
}

Dims Operand::fractal_dims() const {
  const int64_t rows = dim(stored_transposed() ? -1 : -2);
  const int64_t columns = dim(stored_transposed() ? -2 : -1);
  const int64_t width = fractal_columns(meta.dtype);
  Dims out(meta.dims.begin(), meta.dims.end() - 2);
  out.insert(out.end(), {(columns + width - 1) / width, (rows + 15) / 16, 16, width});
  return out;
}

int64_t Operand::dim(int64_t axis) const {
  return meta.dims[static_cast<size_t>(axis < 0 ? axis + rank() : axis)];
}

std::byte* Run::address(const Operand& operand) const {
  const TensorMeta& meta =
      operand.is_input ? context_.inputs[operand.index] : context_.outputs[operand.index];
  return static_cast<std::byte*>(meta.address) +
         operand.meta.offset * element_bytes(operand.dtype());
}

HostView Run::part(const Operand& operand,
                   int64_t offset,
                   const Dims& dims,
                   const Dims& strides) const {
  HostView view = {.dtype = operand.dtype(), .dims = dims, .strides = strides};
  const int64_t bytes = element_bytes(view.dtype);
  const auto size = static_cast<size_t>(reach_of(dims, strides) * bytes);
  if (size == 0) return view;
  std::byte* first = address(operand) + offset * bytes;
  // Operators read through views of inputs only.
  view.data = operand.is_output ? context_.memory.write(first, size)
                                : const_cast<std::byte*>(context_.memory.read(first, size));
  return view;
}

HostView Run::view(const Operand& operand) const {
  if (!operand.is_output || operand.is_input || !operand.contiguous() || operand.count() == 0) {
    return part(operand, 0, operand.dims(), operand.meta.strides);
  }
  return {
      .dtype = operand.dtype(),
      .dims = operand.dims(),
      .strides = operand.meta.strides,
      .data = context_.memory.overwrite(address(operand), static_cast<size_t>(operand.bytes()))};
}

Matrix Run::matrix(const Operand& operand, bool transposed, int64_t batch) const {
  const size_t rank = operand.meta.dims.size();
  Matrix out;
  out.dtype = operand.dtype();
  out.rows = operand.dim(transposed ? -1 : -2);
  out.columns = operand.dim(transposed ? -2 : -1);
  if (operand.count() == 0) return out;
  const int64_t bytes = element_bytes(operand.dtype());
  if (operand.fractal()) {
    out.fractal = true;
    out.stored_by_rows = operand.stored_transposed() == transposed;
    const int64_t size = fractal_count(operand.dtype(),
                                       out.stored_by_rows ? out.rows : out.columns,
                                       out.stored_by_rows ? out.columns : out.rows);
    out.data = context_.memory.read(address(operand) + batch * size * bytes,
                                    static_cast<size_t>(size * bytes));
    return out;
  }
  const HostView whole = view(operand);
  int64_t offset = 0;
  int64_t rest = batch;
  for (size_t axis = rank - 2; axis-- > 0;) {
    offset += rest % whole.dims[axis] * whole.strides[axis];
    rest /= whole.dims[axis];
  }
  out.data = whole.data + offset * bytes;
  out.row_stride = whole.strides[rank - (transposed ? 1 : 2)];
  out.column_stride = whole.strides[rank - (transposed ? 2 : 1)];
  return out;
}

std::byte* Run::storage(const Operand& operand, int64_t count) const {
  return context_.memory.write(address(operand),
                               static_cast<size_t>(count * element_bytes(operand.dtype())));
}

void Run::fault(const std::string& why) const { throw DeviceFault{kVectorCoreException, why}; }

Operand Phase1::take(const char* argument,
                     const TensorMeta& tensor,
                     bool is_input,
                     bool is_output) {
  require(tensor.dims.size() <= 8, "{} has {} dims, at most 8 go", argument, tensor.dims.size());
  require(plain(tensor.format) || tensor.format == ACL_FORMAT_FRACTAL_NZ,
          "{} has format {}",
          argument,
          static_cast<int>(tensor.format));
  Operand operand = {.argument = argument,
                     .meta = tensor,
                     .index = is_input ? operation_.inputs.size() : operation_.outputs.size(),
                     .is_input = is_input,
                     .is_output = is_output};
  const int64_t bytes = element_bytes(tensor.dtype);
  operand.meta.first_byte = static_cast<size_t>(tensor.offset * bytes);
  operand.meta.reach_bytes = static_cast<size_t>(stored_count(operand) * bytes);
  if (is_input) operation_.inputs.push_back(operand.meta);
  if (is_output) operation_.outputs.push_back(operand.meta);
  operation_.work.bytes += counted_bytes(operand);
  return operand;
}

void Phase1::touches(const Operand& operand, double bytes) {
  operation_.work.bytes += bytes - counted_bytes(operand);
}

Operand Phase1::input(const char* argument, const aclTensor* tensor) {
  const TensorMeta* found = meta(tensor);
  if (found == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  operation_.input_list_sizes.push_back(1);
  return take(argument, *found, true, false);
}

std::optional<Operand> Phase1::optional(const char* argument, const aclTensor* tensor) {
  if (tensor == nullptr) return std::nullopt;
  return input(argument, tensor);
}

Operand Phase1::output(const char* argument, const aclTensor* tensor) {
  const TensorMeta* found = meta(tensor);
  if (found == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  return take(argument, *found, false, true);
}

std::optional<Operand> Phase1::optional_output(const char* argument, const aclTensor* tensor) {
  if (tensor == nullptr) return std::nullopt;
  return output(argument, tensor);
}

Operand Phase1::in_place(const char* argument, const aclTensor* tensor) {
  const TensorMeta* found = meta(tensor);
  if (found == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  operation_.input_list_sizes.push_back(1);
  return take(argument, *found, true, true);
}

std::vector<Operand> Phase1::list(const char* argument, const aclTensorList* tensors) {
  const std::vector<TensorMeta>* found = metas(tensors);
  if (found == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  std::vector<Operand> operands;
  for (const TensorMeta& tensor : *found) operands.push_back(take(argument, tensor, true, false));
  operation_.input_list_sizes.push_back(operands.size());
  return operands;
}

Scalar Phase1::scalar(const char* argument, const aclScalar* value) {
  const std::optional<ScalarValue> found = emulator::scalar(value);
  if (!found) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  return {.dtype = found->dtype, .real = found->as_double, .integer = found->as_int};
}

Dims Phase1::integers(const char* argument, const aclIntArray* array) {
  const Dims* found = ints(array);
  if (found == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  return *found;
}

std::optional<Dims> Phase1::optional_integers(const aclIntArray* array) {
  const Dims* found = ints(array);
  if (found == nullptr) return std::nullopt;
  return *found;
}

std::string Phase1::text(const char* argument, const char* value) {
  if (value == nullptr) refuse_with(kNullParameter, fmt::format("{} is null", argument));
  return value;
}

void Phase1::refuse_with(aclnnStatus code, const std::string& why) const {
  throw Refusal{code, fmt::format("{}: {}", operation_.name, why)};
}

void Phase1::dtype_in(const Operand& operand, std::initializer_list<aclDataType> dtypes) const {
  if (std::find(dtypes.begin(), dtypes.end(), operand.dtype()) != dtypes.end()) return;
  std::string allowed;
  for (const aclDataType dtype : dtypes) {
    allowed += (allowed.empty() ? "" : ", ") + dtype_name(dtype);
  }
  refuse_with(
      kInvalidParameter,
      fmt::format(
          "{} is {}, expected one of {}", operand.argument, dtype_name(operand.dtype()), allowed));
}

void Phase1::same_dtype(const Operand& a, const Operand& b) const {
  require(a.dtype() == b.dtype(),
          "{} is {}, {} is {}",
          a.argument,
          dtype_name(a.dtype()),
          b.argument,
          dtype_name(b.dtype()));
}

void Phase1::dims_are(const Operand& operand, const Dims& dims) const {
  require(operand.dims() == dims,
          "{} is [{}], expected [{}]",
          operand.argument,
          fmt::join(operand.dims(), ", "),
          fmt::join(dims, ", "));
}

void Phase1::rank_in(const Operand& operand, int64_t least, int64_t most) const {
  require(operand.rank() >= least && operand.rank() <= most,
          "{} has {} dims, expected {} to {}",
          operand.argument,
          operand.rank(),
          least,
          most);
}

void Phase1::contiguous(const Operand& operand) const {
  require(operand.contiguous(),
          "{} must be contiguous, its strides are [{}] for [{}]",
          operand.argument,
          fmt::join(operand.meta.strides, ", "),
          fmt::join(operand.dims(), ", "));
}

void Phase1::fractal_matrix(const Operand& operand, bool flat) const {
  rank_in(operand, 2, 6);
  const auto rank = static_cast<size_t>(operand.rank());
  const Dims& strides = operand.meta.strides;
  require(strides[rank - 1] == 1 || strides[rank - 2] == 1,
          "{} in FRACTAL_NZ must be a matrix or its transpose, its strides are [{}]",
          operand.argument,
          fmt::join(strides, ", "));
  if (flat && operand.meta.storage_dims.size() == 1) return;
  require(operand.meta.storage_dims == operand.fractal_dims(),
          "{} has storageDims [{}], FRACTAL_NZ of this view is [{}]",
          operand.argument,
          fmt::join(operand.meta.storage_dims, ", "),
          fmt::join(operand.fractal_dims(), ", "));
}

int64_t Phase1::axis(const char* argument, int64_t value, int64_t rank) const {
  const int64_t span = std::max<int64_t>(rank, 1);
  require(
      value >= -span && value < span, "{} is {}, the tensor has {} dims", argument, value, rank);
  return value < 0 ? value + span : value;
}

aclnnStatus Phase1::finish(uint64_t* workspace_size, aclOpExecutor** executor) {
  const bool nothing_to_do =
      std::all_of(operation_.outputs.begin(), operation_.outputs.end(), [](const TensorMeta& out) {
        return count_of(out.dims) == 0;
      });
  if (nothing_to_do) {
    operation_.workspace_bytes = 0;
    operation_.run = [](const RunContext&) {};
  } else {
    operation_.run = [closure = std::move(closure_)](const RunContext& context) {
      closure(Run(context));
    };
  }
  return accept(std::move(operation_), workspace_size, executor);
}

aclnnStatus phase1(const char* name,
                   uint64_t* workspace_size,
                   aclOpExecutor** executor,
                   const std::function<void(Phase1&)>& build) {
  try {
    Phase1 op(name);
    build(op);
    return op.finish(workspace_size, executor);
  } catch (const Refusal& refusal) {
    return refuse(refusal.code, refusal.why);
  }
}

}  // namespace emulator
