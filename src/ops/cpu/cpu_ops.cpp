#include "ops/cpu/cpu_ops.h"

#include <cstdlib>
#include <string_view>

namespace fastchat::ops {

OpsTraits cpu_traits() {
  return {.linear_row_multiple = cpu::kPanelColumns,
          .linear_column_multiple = 2,  // pairs; see cpu::PanelProduct
          .kv_block_size = cpu::kKvBlockSize,
          // Scratch of two threads: half a MiB each for linear and attention, and 12 bytes per
          // token of a vocabulary of 152k for sampling.
          .scratch_bytes = 4u << 20};
}

std::unique_ptr<Ops> create_cpu_ops(Device& device) {
  auto* cpu_device = dynamic_cast<device::CpuDevice*>(&device);
  check(cpu_device != nullptr, "cpu operations on {}: not a cpu device", device.info().name);
  const char* choice = std::getenv("FASTCHAT_CPU_OPS");
  const std::string_view ops = choice == nullptr ? "" : choice;
  if (ops == "reference") return create_reference_ops(device);
  check(ops.empty() || ops == "kernels",
        "FASTCHAT_CPU_OPS is '{}', expected 'kernels' or 'reference'",
        ops);
  return std::make_unique<CpuOps>(*cpu_device);
}

CpuOps::CpuOps(device::CpuDevice& device) : CpuOps(device, cpu::kernels_of(device.isa())) {}

CpuOps::CpuOps(device::CpuDevice& device, const cpu::Kernels& kernels)
    : device_(device), kernels_(kernels), traits_(cpu_traits()) {}

namespace cpu {

Element element_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return Element::f32;
    case DType::f16:
      return Element::f16;
    case DType::bf16:
      return Element::bf16;
    case DType::i8:
      return Element::i8;
    default:
      fail("{} is no dtype of weights or activations", device::to_string(dtype));
  }
}

ConstRows const_rows(const TensorView& view) {
  return {view.data(), element_of(view.dtype()), view.row_stride()};
}

Rows rows(const TensorView& view) {
  return {view.data(), element_of(view.dtype()), view.row_stride()};
}

KvPointers kv_pointers(const KvLayer& kv) {
  return {.data = kv.data,
          .element = element_of(kv.spec.dtype),
          .num_blocks = kv.num_blocks,
          .num_kv_heads = kv.spec.num_kv_heads,
          .head_dim = kv.spec.head_dim};
}

device::CpuStream& cpu_stream(Stream& stream, std::string_view op) {
  auto* cpu_stream = dynamic_cast<device::CpuStream*>(&stream);
  check(cpu_stream != nullptr, "{}: the stream is not of a cpu device", op);
  return *cpu_stream;
}

}  // namespace cpu
}  // namespace fastchat::ops
