#include "tests/emulator/ops_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "tests/emulator/client.h"

namespace emulator_test {
namespace {

struct Format {
  int mantissa;  // bits after the leading one
  int least;     // exponent of the smallest normal number
  double largest;
};

Format format_of(aclDataType dtype) {
  switch (dtype) {
    case ACL_FLOAT16:
      return {10, -14, 65504.0};
    case ACL_BF16:
      return {7, -126, std::ldexp(2.0 - std::ldexp(1.0, -7), 127)};
    case ACL_FLOAT:
      return {23, -126, std::numeric_limits<float>::max()};
    default:
      return {52, -1022, std::numeric_limits<double>::max()};
  }
}

bool is_real(aclDataType dtype) {
  return dtype == ACL_FLOAT16 || dtype == ACL_BF16 || dtype == ACL_FLOAT || dtype == ACL_DOUBLE;
}

size_t size_of(aclDataType dtype) {
  switch (dtype) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
      return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
      return 2;
    case ACL_FLOAT:
    case ACL_INT32:
      return 4;
    default:
      return 8;
  }
}

/// f16 and bf16 from the value's sign, exponent and fraction.
uint16_t encode16(aclDataType dtype, double value) {
  const Format format = format_of(dtype);
  const int exponent_bits = dtype == ACL_FLOAT16 ? 5 : 8;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const auto all_ones = static_cast<uint16_t>(((1 << exponent_bits) - 1) << format.mantissa);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | all_ones | 1);
  const double rounded = std::fabs(stored(dtype, value));
  if (std::isinf(rounded)) return static_cast<uint16_t>(sign | all_ones);
  if (rounded == 0) return sign;
  const int exponent = std::max(std::ilogb(rounded), format.least);
  const auto scaled = static_cast<int>(std::ldexp(rounded, format.mantissa - exponent));
  const bool normal = scaled >= 1 << format.mantissa;
  const int field = normal ? exponent + bias : 0;
  return static_cast<uint16_t>(sign | (field << format.mantissa) |
                               (scaled & ((1 << format.mantissa) - 1)));
}

double decode16(aclDataType dtype, uint16_t bits) {
  const Format format = format_of(dtype);
  const int exponent_bits = dtype == ACL_FLOAT16 ? 5 : 8;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int field = (bits & 0x7fff) >> format.mantissa;
  const int fraction = bits & ((1 << format.mantissa) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (field == (1 << exponent_bits) - 1) {
    return fraction != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (field == 0) return sign * std::ldexp(fraction, format.least - format.mantissa);
  return sign * std::ldexp(fraction + (1 << format.mantissa), field - bias - format.mantissa);
}

template <typename T>
void put(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}
template <typename T>
T take(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

void encode(aclDataType dtype, double value, std::byte* to) {
  switch (dtype) {
    case ACL_FLOAT16:
    case ACL_BF16:
      return put(to, encode16(dtype, value));
    case ACL_FLOAT:
      return put(to, static_cast<float>(value));
    case ACL_DOUBLE:
      return put(to, value);
    case ACL_INT8:
      return put(to, static_cast<int8_t>(value));
    case ACL_UINT8:
    case ACL_BOOL:
      return put(to, static_cast<uint8_t>(value));
    case ACL_INT16:
      return put(to, static_cast<int16_t>(value));
    case ACL_INT32:
      return put(to, static_cast<int32_t>(value));
    case ACL_UINT64:
      return put(to, static_cast<uint64_t>(value));
    default:
      return put(to, static_cast<int64_t>(value));
  }
}

double decode(aclDataType dtype, const std::byte* from) {
  switch (dtype) {
    case ACL_FLOAT16:
    case ACL_BF16:
      return decode16(dtype, take<uint16_t>(from));
    case ACL_FLOAT:
      return take<float>(from);
    case ACL_DOUBLE:
      return take<double>(from);
    case ACL_INT8:
      return take<int8_t>(from);
    case ACL_UINT8:
    case ACL_BOOL:
      return take<uint8_t>(from);
    case ACL_INT16:
      return take<int16_t>(from);
    case ACL_INT32:
      return take<int32_t>(from);
    case ACL_UINT64:
      return static_cast<double>(take<uint64_t>(from));
    default:
      return static_cast<double>(take<int64_t>(from));
  }
}

Dims row_major(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (size_t axis = dims.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * dims[axis];
  return strides;
}

void check(int status, const char* what) {
  if (status != 0) throw std::runtime_error(std::string(what) + ": " + std::to_string(status));
}

}  // namespace

double stored(aclDataType dtype, double value) {
  if (!is_real(dtype)) return std::trunc(value);
  if (!std::isfinite(value) || value == 0) return value;
  const double step = spacing(dtype, value);
  const double rounded = std::nearbyint(value / step) * step;
  if (std::fabs(rounded) > format_of(dtype).largest) {
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  }
  return rounded;
}

double spacing(aclDataType dtype, double value) {
  if (!is_real(dtype)) return 1;
  const Format format = format_of(dtype);
  const int exponent = value == 0 || !std::isfinite(value) ? format.least : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, format.least) - format.mantissa);
}

std::vector<double> random_values(aclDataType dtype, int64_t count, unsigned seed, double sigma) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0, sigma);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = stored(dtype, normal(generator));
  return values;
}

int64_t count_of(const Dims& dims) {
  int64_t count = 1;
  for (const int64_t extent : dims) count *= extent;
  return count;
}

Cann& Cann::get() {
  static Cann& cann = *new Cann();
  return cann;
}

Cann::Cann() {
  check(CANN_CALL(*this, aclInit)(nullptr), "aclInit");
  check(CANN_CALL(*this, aclrtSetDevice)(0), "aclrtSetDevice");
  check(CANN_CALL(*this, aclrtCreateStream)(&stream_), "aclrtCreateStream");
}

int Cann::version() const { return client::version(); }

void* Cann::symbol(const std::string& name) const { return client::find(name.c_str()); }

std::string Cann::message() const { return client::message(); }

aclnnStatus Cann::finish(void* phase_2, uint64_t workspace_size, aclOpExecutor* executor) const {
  void* workspace = nullptr;
  if (workspace_size > 0) {
    check(CANN_CALL(*this, aclrtMalloc)(&workspace, workspace_size, ACL_MEM_MALLOC_HUGE_FIRST),
          "aclrtMalloc");
  }
  using Phase2 = aclnnStatus(void*, uint64_t, aclOpExecutor*, aclrtStream);
  aclnnStatus status =
      (*reinterpret_cast<Phase2*>(phase_2))(workspace, workspace_size, executor, stream_);
  if (status == 0) status = CANN_CALL(*this, aclrtSynchronizeStream)(stream_);
  if (workspace != nullptr) CANN_CALL(*this, aclrtFree)(workspace);
  return status;
}

Tensor::Tensor(Cann& cann, aclDataType dtype, Dims dims, const std::vector<double>& values)
    : Tensor(cann, dtype, std::move(dims)) {
  if (static_cast<int64_t>(values.size()) != count_of(dims_)) {
    throw std::invalid_argument("as many values as elements");
  }
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    encode(dtype, values[i], bytes.data() + i * size_of(dtype));
  }
  if (bytes.empty()) return;
  check(CANN_CALL(cann, aclrtMemcpy)(
            memory_, bytes.size(), bytes.data(), bytes.size(), ACL_MEMCPY_HOST_TO_DEVICE),
        "aclrtMemcpy");
}

Tensor::Tensor(Cann& cann, aclDataType dtype, Dims dims)
    : cann_(&cann), dtype_(dtype), dims_(std::move(dims)), strides_(row_major(dims_)), owns_(true) {
  capacity_ = count_of(dims_);
  const size_t bytes = std::max<size_t>(1, static_cast<size_t>(capacity_)) * size_of(dtype);
  check(CANN_CALL(cann, aclrtMalloc)(&memory_, bytes, ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
  create(ACL_FORMAT_ND, dims_);
}

void Tensor::create(aclFormat format, const Dims& storage_dims) {
  tensor_ = CANN_CALL(*cann_, aclCreateTensor)(dims_.data(),
                                               dims_.size(),
                                               dtype_,
                                               strides_.data(),
                                               offset_,
                                               format,
                                               storage_dims.data(),
                                               storage_dims.size(),
                                               memory_);
}

Tensor::Tensor(Tensor&& other) noexcept
    : cann_(other.cann_),
      dtype_(other.dtype_),
      dims_(std::move(other.dims_)),
      strides_(std::move(other.strides_)),
      offset_(other.offset_),
      capacity_(other.capacity_),
      memory_(other.memory_),
      owns_(std::exchange(other.owns_, false)),
      tensor_(std::exchange(other.tensor_, nullptr)) {}

Tensor::~Tensor() {
  if (tensor_ != nullptr) CANN_CALL(*cann_, aclDestroyTensor)(tensor_);
  if (owns_) CANN_CALL(*cann_, aclrtFree)(memory_);
}

Tensor Tensor::view(
    Dims dims, Dims strides, int64_t offset, aclFormat format, const Dims& storage_dims) const {
  Tensor out;
  out.cann_ = cann_;
  out.dtype_ = dtype_;
  out.dims_ = std::move(dims);
  out.strides_ = std::move(strides);
  out.offset_ = offset;
  out.capacity_ = capacity_;
  out.memory_ = memory_;
  out.create(format, storage_dims.empty() ? Dims{capacity_} : storage_dims);
  return out;
}

Tensor Tensor::transposed() const {
  Dims dims = dims_;
  Dims strides = strides_;
  std::swap(dims[dims.size() - 1], dims[dims.size() - 2]);
  std::swap(strides[strides.size() - 1], strides[strides.size() - 2]);
  return view(std::move(dims), std::move(strides), offset_);
}

std::vector<double> Tensor::read_storage(int64_t count) const {
  std::vector<std::byte> bytes(static_cast<size_t>(count) * size_of(dtype_));
  if (!bytes.empty()) {
    check(CANN_CALL(*cann_, aclrtMemcpy)(
              bytes.data(), bytes.size(), memory_, bytes.size(), ACL_MEMCPY_DEVICE_TO_HOST),
          "aclrtMemcpy");
  }
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(decode(dtype_, bytes.data() + static_cast<size_t>(i) * size_of(dtype_)));
  }
  return values;
}

std::vector<double> Tensor::read() const {
  const std::vector<double> all = read_storage(capacity_);
  std::vector<double> values;
  for (int64_t i = 0; i < count_of(dims_); ++i) {
    int64_t rest = i;
    int64_t at = offset_;
    for (size_t axis = dims_.size(); axis-- > 0;) {
      at += rest % dims_[axis] * strides_[axis];
      rest /= dims_[axis];
    }
    values.push_back(all[static_cast<size_t>(at)]);
  }
  return values;
}

Ints::Ints(Cann& cann, const std::vector<int64_t>& values)
    : cann_(cann), array_(CANN_CALL(cann, aclCreateIntArray)(values.data(), values.size())) {}
Ints::~Ints() { CANN_CALL(cann_, aclDestroyIntArray)(array_); }

Number::Number(Cann& cann, float value)
    : cann_(cann), scalar_(CANN_CALL(cann, aclCreateScalar)(&value, ACL_FLOAT)) {}
Number::Number(Cann& cann, int64_t value)
    : cann_(cann), scalar_(CANN_CALL(cann, aclCreateScalar)(&value, ACL_INT64)) {}
Number::~Number() { CANN_CALL(cann_, aclDestroyScalar)(scalar_); }

TensorList::TensorList(Cann& cann, const std::vector<const Tensor*>& tensors) : cann_(cann) {
  std::vector<const aclTensor*> members;
  for (const Tensor* tensor : tensors) {
    const Dims& dims = tensor->dims();
    // A tensor of its own: destroying the list destroys its members.
    members.push_back(CANN_CALL(cann, aclCreateTensor)(dims.data(),
                                                       dims.size(),
                                                       tensor->dtype(),
                                                       tensor->strides().data(),
                                                       tensor->offset(),
                                                       ACL_FORMAT_ND,
                                                       dims.data(),
                                                       dims.size(),
                                                       tensor->address()));
  }
  list_ = CANN_CALL(cann, aclCreateTensorList)(members.data(), members.size());
}
TensorList::~TensorList() { CANN_CALL(cann_, aclDestroyTensorList)(list_); }

void expect_near(const std::vector<double>& actual,
                 const std::vector<double>& expected,
                 aclDataType dtype,
                 double spacings,
                 double absolute) {
  ASSERT_EQ(actual.size(), expected.size());
  int reported = 0;
  for (size_t i = 0; i < actual.size() && reported < 5; ++i) {
    const double a = actual[i];
    const double e = expected[i];
    if (std::isnan(a) && std::isnan(e)) continue;
    if (a == e) continue;  // infinities
    const double tolerance = spacings * spacing(dtype, e) + absolute;
    if (std::fabs(a - e) <= tolerance) continue;
    ADD_FAILURE() << "element " << i << " is " << a << ", expected " << e << " ± " << tolerance;
    ++reported;
  }
}

}  // namespace emulator_test
