#include "ops/cpu/reference/reference_ops.h"

#include "ops/checks.h"
#include "ops/cpu/cpu_ops.h"

namespace fastchat::ops {

namespace reference {

namespace {

const void* address(const TensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<const char*>(view.data()) +
         (row * view.row_stride() + column) *
             static_cast<std::int64_t>(device::size_of(view.dtype()));
}

}  // namespace

double get(const TensorView& view, std::int64_t row, std::int64_t column) {
  return device::to_f32(address(view, row, column), view.dtype(), 0);
}

void set(const TensorView& view, std::int64_t row, std::int64_t column, double value) {
  void* element = const_cast<void*>(address(view, row, column));
  const auto rounded = static_cast<float>(value);
  switch (view.dtype()) {
    case DType::f32:
      *static_cast<float*>(element) = rounded;
      return;
    case DType::f16:
      *static_cast<std::uint16_t*>(element) = device::f32_to_f16(rounded);
      return;
    case DType::bf16:
      *static_cast<std::uint16_t*>(element) = device::f32_to_bf16(rounded);
      return;
    case DType::i8:
      *static_cast<std::int8_t*>(element) = static_cast<std::int8_t>(rounded);
      return;
    default:
      fail("{} is neither of a floating-point dtype nor i8", view.describe());
  }
}

std::int32_t get_index(const TensorView& view, std::int64_t row) {
  return *static_cast<const std::int32_t*>(address(view, row, 0));
}

}  // namespace reference

namespace {

/// One row of a slice, as a view: one of all rows cannot have a stride of the caller's choice.
TensorView row_of(const WeightSlice& slice, std::int64_t row) {
  const auto stride = slice.row_stride * static_cast<std::int64_t>(device::size_of(slice.dtype));
  char* source = const_cast<char*>(static_cast<const char*>(slice.data)) + row * stride;
  return {source, slice.dtype, {1, slice.columns}};
}

/// scales: of the slice's rows, where the weight is quantized.
void pack_row(const WeightSlice& slice, std::int64_t row, const TensorView& out, float* scales) {
  const TensorView x = row_of(slice, row);
  const bool is_quantized = slice.dtype == DType::i8;
  std::vector<double> numbers;
  if (scales != nullptr && !is_quantized) {
    scales[row] = reference::quantize(x, 0, numbers);
  } else {
    if (scales != nullptr) scales[row] = slice.row_scales[row];
    const double scale = is_quantized && scales == nullptr ? slice.row_scales[row] : 1.0;
    for (std::int64_t i = 0; i < slice.columns; ++i)
      numbers.push_back(reference::get(x, 0, i) * scale);
  }
  for (std::int64_t i = 0; i < slice.columns; ++i)
    reference::set(out, row, i, numbers[static_cast<std::size_t>(i)]);
}

}  // namespace

ReferenceOps::ReferenceOps(Device& device) : device_(device), traits_(cpu_traits()) {}

std::unique_ptr<Ops> create_reference_ops(Device& device) {
  return std::make_unique<ReferenceOps>(device);
}

PackedLinear ReferenceOps::pack_linear(Stream& stream,
                                       std::span<const WeightSlice> slices,
                                       LinearFormat format) {
  const SliceShape shape = check_slices("pack_linear", slices, format);
  PackedLinear packed;
  packed.format = format;
  packed.out_features = shape.rows;
  packed.in_features = shape.columns;
  packed.storage =
      device_.allocate(packed_linear_bytes(traits_, shape.rows, shape.columns, format), "weights");
  const TensorView all = reference::unpacked(packed);
  const TensorView all_scales = reference::row_scales(packed, traits_);
  std::int64_t first = 0;
  for (const WeightSlice& slice : slices) {
    const TensorView out = all.slice_rows(first, slice.rows);
    float* scales = all_scales.empty() ? nullptr : all_scales.as<float>() + first;
    cpu::cpu_stream(stream, "pack_linear").enqueue([slice, out, scales](device::CpuTeam&) {
      for (std::int64_t row = 0; row < slice.rows; ++row) pack_row(slice, row, out, scales);
    });
    first += slice.rows;
  }
  return packed;
}

Buffer ReferenceOps::pack_plain(Stream& stream, std::span<const WeightSlice> slices, DType dtype) {
  const SliceShape shape = check_slices("pack_plain", slices, dtype);
  Buffer buffer = device_.allocate(
      static_cast<std::size_t>(shape.rows * shape.columns) * device::size_of(dtype), "weights");
  const TensorView all = buffer.view(dtype, {shape.rows, shape.columns});
  std::int64_t first = 0;
  for (const WeightSlice& slice : slices) {
    cpu::cpu_stream(stream, "pack_plain")
        .enqueue([slice, out = all.slice_rows(first, slice.rows)](device::CpuTeam&) {
          for (std::int64_t row = 0; row < slice.rows; ++row) pack_row(slice, row, out, nullptr);
        });
    first += slice.rows;
  }
  return buffer;
}

void ReferenceOps::embedding(Stream& stream, TensorView table, TensorView ids, TensorView out) {
  check_embedding(table, ids, out);
  cpu::cpu_stream(stream, "embedding").enqueue([=](device::CpuTeam&) {
    reference::embedding(table, ids, out);
  });
}

void ReferenceOps::gather_rows(Stream& stream, TensorView x, TensorView indices, TensorView out) {
  check_gather_rows(x, indices, out);
  cpu::cpu_stream(stream, "gather_rows").enqueue([=](device::CpuTeam&) {
    reference::gather_rows(x, indices, out);
  });
}

void ReferenceOps::resolve_tokens(
    Stream& stream, TensorView ids, TensorView rows, TensorView sources, TensorView sampled) {
  check_resolve_tokens(ids, rows, sources, sampled);
  cpu::cpu_stream(stream, "resolve_tokens").enqueue([=](device::CpuTeam&) {
    reference::resolve_tokens(ids, rows, sources, sampled);
  });
}

void ReferenceOps::rms_norm(
    Stream& stream, TensorView x, TensorView weight, float eps, TensorView out) {
  check_rms_norm(x, weight, out);
  cpu::cpu_stream(stream, "rms_norm").enqueue([=](device::CpuTeam&) {
    reference::rms_norm(x, weight, eps, out);
  });
}

void ReferenceOps::layer_norm(
    Stream& stream, TensorView x, TensorView weight, TensorView bias, float eps, TensorView out) {
  check_norm("layer_norm", x, weight, bias, out);
  cpu::cpu_stream(stream, "layer_norm").enqueue([=](device::CpuTeam&) {
    reference::layer_norm(x, weight, bias, eps, out);
  });
}

void ReferenceOps::add(Stream& stream, TensorView out, TensorView x) {
  check_add("add", out, x);
  cpu::cpu_stream(stream, "add").enqueue([=](device::CpuTeam&) { reference::add(out, x); });
}

void ReferenceOps::linear(
    Stream& stream, TensorView x, const PackedLinear& weight, TensorView bias, TensorView out) {
  check_linear(x, weight, bias, out);
  const TensorView matrix = reference::unpacked(weight);
  const TensorView scales = reference::row_scales(weight, traits_);
  const bool quantizes = weight.format.input == DType::i8;
  cpu::cpu_stream(stream, "linear").enqueue([=](device::CpuTeam&) {
    reference::linear(x, matrix, scales, quantizes, bias, out);
  });
}

void ReferenceOps::rotary_table(Stream& stream,
                                TensorView positions,
                                TensorView inverse_frequencies,
                                float scale,
                                TensorView out) {
  check_rotary_table(positions, inverse_frequencies, out);
  cpu::cpu_stream(stream, "rotary_table").enqueue([=](device::CpuTeam&) {
    reference::rotary_table(positions, inverse_frequencies, scale, out);
  });
}

void ReferenceOps::rotary(
    Stream& stream, TensorView x, std::int64_t head_dim, TensorView table, TensorView out) {
  check_rotary(x, head_dim, table, out);
  cpu::cpu_stream(stream, "rotary").enqueue([=](device::CpuTeam&) {
    reference::rotary(x, head_dim, table, out);
  });
}

void ReferenceOps::kv_write(
    Stream& stream, TensorView k, TensorView v, TensorView slots, KvLayer kv) {
  check_kv_write(k, v, slots, kv);
  cpu::cpu_stream(stream, "kv_write").enqueue([=](device::CpuTeam&) {
    reference::kv_write(k, v, slots, kv);
  });
}

void ReferenceOps::paged_attention(Stream& stream, const PagedAttentionArgs& args) {
  check_paged_attention(args);
  cpu::cpu_stream(stream, "paged_attention").enqueue([args](device::CpuTeam&) {
    reference::paged_attention(args);
  });
}

void ReferenceOps::gated_activation(Stream& stream,
                                    TensorView gate_up,
                                    Activation activation,
                                    TensorView out) {
  check_gated_activation(gate_up, out);
  cpu::cpu_stream(stream, "gated_activation").enqueue([=](device::CpuTeam&) {
    reference::gated_activation(gate_up, activation, out);
  });
}

void ReferenceOps::sample(Stream& stream,
                          TensorView logits,
                          const SamplingBatch& batch,
                          SampleOutput output) {
  check_sample(logits, batch, output);
  cpu::cpu_stream(stream, "sample").enqueue([=](device::CpuTeam&) {
    reference::sample(logits, batch, output);
  });
}

void ReferenceOps::token_logprobs(Stream& stream,
                                  TensorView logits,
                                  TensorView targets,
                                  SampleOutput output) {
  check_token_logprobs(logits, targets, output);
  cpu::cpu_stream(stream, "token_logprobs").enqueue([=](device::CpuTeam&) {
    reference::token_logprobs(logits, targets, output);
  });
}

}  // namespace fastchat::ops
