#include "ops/cases/op_case.h"

#include "base/log.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace fastchat::ops::cases {
namespace {

/// The bytes of `values` rounded to `dtype`.
std::vector<std::uint8_t> rounded(std::span<const float> values, DType dtype) {
  const std::size_t element = device::size_of(dtype);
  std::vector<std::uint8_t> bytes(values.size() * element);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half =
        dtype == DType::f16 ? device::f32_to_f16(values[i]) : device::f32_to_bf16(values[i]);
    const void* source = dtype == DType::f32 ? static_cast<const void*>(&values[i]) : &half;
    std::memcpy(bytes.data() + i * element, source, element);
  }
  return bytes;
}

float element(const std::uint8_t* data, DType dtype, std::size_t index) {
  data += index * device::size_of(dtype);
  if (dtype == DType::i32) {
    std::int32_t value;
    std::memcpy(&value, data, sizeof value);
    return static_cast<float>(value);
  }
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, data, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, data, sizeof bits);
  return dtype == DType::f16 ? device::f16_to_f32(bits) : device::bf16_to_f32(bits);
}

}  // namespace

std::vector<float> random_values(std::uint64_t seed, std::int64_t count, float magnitude) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (2.0f * uniform_draw(seed, i) - 1.0f) * magnitude;
  return values;
}

Rig::Rig(Ops& ops, const OpsTraits& traits)
    : ops_(ops), traits_(traits), stream_(ops.device().create_stream()) {}

Rig::~Rig() {
  try {
    stream_->synchronize();  // what is still enqueued uses the buffers
  } catch (const Failure& failure) {
    log::error("op case: {}", failure.what());
  }
}

TensorView Rig::blank(DType dtype, std::initializer_list<std::int64_t> shape) {
  const std::size_t size_bytes = TensorView(nullptr, dtype, shape).size_bytes();
  buffers_.push_back(ops_.device().allocate(std::max<std::size_t>(size_bytes, 1), "op cases"));
  stream_->fill(buffers_.back().data(), 0xFF, size_bytes);
  return buffers_.back().view(dtype, shape);
}

TensorView Rig::upload(std::span<const float> values,
                       DType dtype,
                       std::initializer_list<std::int64_t> shape) {
  const TensorView view = blank(dtype, shape);
  const std::vector<std::uint8_t> bytes = rounded(values, dtype);
  check(bytes.size() == view.size_bytes(),
        "op case: {} values for {}",
        values.size(),
        view.describe());
  stream_->copy_from_host(view.data(), bytes.data(), bytes.size());
  stream_->synchronize();
  return view;
}

TensorView Rig::upload(std::span<const std::int32_t> values) {
  const TensorView view = blank(DType::i32, {static_cast<std::int64_t>(values.size())});
  stream_->copy_from_host(view.data(), values.data(), values.size_bytes());
  stream_->synchronize();
  return view;
}

KvLayer Rig::blank_kv(const KvSpec& spec, std::int64_t num_blocks) {
  const auto bytes = num_blocks * static_cast<std::int64_t>(kv_block_bytes(ops_.traits(), spec));
  return {.data = blank(DType::u8, {bytes}).data(), .num_blocks = num_blocks, .spec = spec};
}

const PackedLinear& Rig::pack(std::span<const float> values,
                              DType source_dtype,
                              std::initializer_list<std::int64_t> rows_per_slice,
                              std::int64_t columns,
                              LinearFormat format) {
  const std::int64_t stride = columns + 3;
  std::int64_t rows = 0;
  for (const std::int64_t count : rows_per_slice) rows += count;
  std::vector<float> spread(static_cast<std::size_t>(rows * stride),
                            std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t row = 0; row < rows; ++row)
    std::copy_n(values.begin() + row * columns, columns, spread.begin() + row * stride);
  const std::vector<std::uint8_t> host = rounded(spread, source_dtype);
  std::vector<WeightSlice> slices;
  std::int64_t first = 0;
  for (const std::int64_t count : rows_per_slice) {
    slices.push_back({.data = host.data() + static_cast<std::size_t>(first * stride) *
                                                device::size_of(source_dtype),
                      .dtype = source_dtype,
                      .rows = count,
                      .columns = columns,
                      .row_stride = stride});
    first += count;
  }
  packed_.push_back(std::make_unique<PackedLinear>(ops_.pack_linear(*stream_, slices, format)));
  stream_->synchronize();
  return *packed_.back();
}

const PackedLinear& Rig::pack_beside_int8(std::uint64_t seed,
                                          const std::int64_t (&rows_per_slice)[2],
                                          std::int64_t columns,
                                          LinearFormat format) {
  std::vector<std::int8_t> numbers;
  for (const float value : random_values(seed, rows_per_slice[0] * columns, 128.0f))
    numbers.push_back(static_cast<std::int8_t>(std::floor(value)));
  std::vector<float> scales = random_values(seed + 1, rows_per_slice[0], 0.01f);
  for (float& scale : scales) scale = std::abs(scale);
  const std::vector<float> floats = random_values(seed + 2, rows_per_slice[1] * columns);
  const WeightSlice slices[] = {{.data = numbers.data(),
                                 .dtype = DType::i8,
                                 .rows = rows_per_slice[0],
                                 .columns = columns,
                                 .row_stride = columns,
                                 .row_scales = scales.data()},
                                {.data = floats.data(),
                                 .dtype = DType::f32,
                                 .rows = rows_per_slice[1],
                                 .columns = columns,
                                 .row_stride = columns}};
  packed_.push_back(std::make_unique<PackedLinear>(ops_.pack_linear(*stream_, slices, format)));
  stream_->synchronize();
  return *packed_.back();
}

std::vector<float> Rig::download(const TensorView& view) {
  const auto row_elements = static_cast<std::size_t>(view.row_elements());
  const std::size_t row_bytes = row_elements * device::size_of(view.dtype());
  const auto rows = static_cast<std::size_t>(view.rows());
  std::vector<std::uint8_t> bytes(rows * row_bytes);
  for (std::size_t row = 0; row < rows; ++row)
    stream_->copy_to_host(bytes.data() + row * row_bytes,
                          view.slice_rows(static_cast<std::int64_t>(row), 1).data(),
                          row_bytes);
  stream_->synchronize();
  std::vector<float> values(rows * row_elements);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = element(bytes.data(), view.dtype(), i);
  return values;
}

double tolerance(DType dtype, std::int64_t length) {
  constexpr double kEps = std::numeric_limits<float>::epsilon();
  const double step = dtype == DType::bf16 ? 0x1p-7 : dtype == DType::f16 ? 0x1p-10 : 4 * kEps;
  return step + 4 * kEps * std::sqrt(static_cast<double>(length));
}

std::vector<OpCase> all_cases() {
  std::vector<OpCase> all;
  for (auto&& part :
       {elementwise_cases(), norm_cases(), linear_cases(), attention_cases(), sample_cases()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<float> expected_of(const OpCase& op_case, Ops& reference, const OpsTraits& traits) {
  Rig rig(reference, traits);
  return op_case.run(rig);
}

CaseResult run_case(const OpCase& op_case, Ops& ops, std::span<const float> expected) {
  std::vector<float> results;
  try {
    Rig rig(ops);
    results = op_case.run(rig);
  } catch (const UnsupportedOp& error) {
    return {.outcome = Outcome::unsupported, .message = error.what()};
  } catch (const Failure& error) {
    return {.outcome = Outcome::failed, .message = error.what()};
  }
  if (results.size() != expected.size())
    return {.outcome = Outcome::failed,
            .message = fmt::format("{} results, expected {}", results.size(), expected.size())};

  double squares = 0.0;
  std::size_t finite = 0;
  for (const float value : expected) {
    if (!std::isfinite(value)) continue;
    squares += static_cast<double>(value) * value;
    ++finite;
  }
  const double typical = finite == 0 ? 0.0 : std::sqrt(squares / static_cast<double>(finite));
  CaseResult result;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (std::isnan(results[i]) && std::isnan(expected[i])) continue;
    if (results[i] == expected[i]) continue;
    const double difference = std::abs(static_cast<double>(results[i]) - expected[i]);
    double error = difference / std::max(typical, std::abs(static_cast<double>(expected[i])));
    if (!(error >= 0.0)) error = std::numeric_limits<double>::infinity();  // NaN on one side
    if (error <= result.error) continue;
    result.error = error;
    if (error <= op_case.tolerance) continue;
    result.outcome = Outcome::failed;
    result.message =
        fmt::format("element {} of {} is {}, expected {}: error {:.3g}, allowed {:.3g}",
                    i,
                    results.size(),
                    results[i],
                    expected[i],
                    error,
                    op_case.tolerance);
  }
  return result;
}

void Matrix::add(const OpCase& op_case, const CaseResult& result) {
  auto row =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.op == op_case.op; });
  if (row == rows_.end()) row = rows_.insert(rows_.end(), Row{.op = op_case.op, .cells = {}});
  const int column = op_case.dtype == DType::f32 ? 0 : op_case.dtype == DType::f16 ? 1 : 2;
  Cell& cell = row->cells[column];
  switch (result.outcome) {
    case Outcome::passed:
      ++cell.passed;
      if (op_case.tolerance > 0.0)
        cell.worst = std::max(cell.worst, result.error / op_case.tolerance);
      break;
    case Outcome::failed:
      ++cell.failed;
      break;
    case Outcome::unsupported:
      ++cell.unsupported;
      break;
  }
}

std::string Matrix::to_text() const {
  std::string text = fmt::format("{:<18}{:>16}{:>16}{:>16}\n", "operation", "f32", "f16", "bf16");
  for (const Row& row : rows_) {
    text += fmt::format("{:<18}", row.op);
    for (const Cell& cell : row.cells) {
      std::string entry = "-";
      if (cell.failed > 0) {
        entry = fmt::format("{} FAILED", cell.failed);
      } else if (cell.passed > 0) {
        entry = fmt::format("{} ok ({:.0f}%)", cell.passed, 100.0 * cell.worst);
      } else if (cell.unsupported > 0) {
        entry = "unsupported";
      }
      text += fmt::format("{:>16}", entry);
    }
    text += '\n';
  }
  return text + "(n ok (x%): n cases passed, the largest error is x% of what is allowed)\n";
}

}  // namespace fastchat::ops::cases
