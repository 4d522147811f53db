// Arithmetic of the collectives.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "emulator/communicator.h"
#include "emulator/ops/half.h"

namespace emulator {
namespace {

template <typename T>
T combine(T a, T b, HcclReduceOp op) {
  if constexpr (std::is_same_v<T, Half>) {
    return to_half(combine(widen(a), widen(b), op));
  } else if constexpr (std::is_same_v<T, Brain>) {
    return to_brain(combine(widen(a), widen(b), op));
  } else if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;  // overflow wraps
    switch (op) {
      case HCCL_REDUCE_SUM:
        return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
      case HCCL_REDUCE_PROD:
        return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
      case HCCL_REDUCE_MAX:
        return std::max(a, b);
      default:
        return std::min(a, b);
    }
  } else {
    switch (op) {
      case HCCL_REDUCE_SUM:
        return a + b;
      case HCCL_REDUCE_PROD:
        return a * b;
      case HCCL_REDUCE_MAX:
        return std::max(a, b);
      default:
        return std::min(a, b);
    }
  }
}

template <typename T>
void reduce(const std::vector<const std::byte*>& inputs,
            std::byte* out,
            uint64_t count,
            HcclReduceOp op) {
  const auto load = [](const std::byte* from, uint64_t i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    return value;
  };
  for (uint64_t i = 0; i < count; ++i) {
    T value = load(inputs[0], i);
    for (size_t rank = 1; rank < inputs.size(); ++rank)
      value = combine(value, load(inputs[rank], i), op);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

size_t hccl_element_bytes(HcclDataType dtype) {
  switch (dtype) {
    case HCCL_DATA_TYPE_INT8:
    case HCCL_DATA_TYPE_UINT8:
      return 1;
    case HCCL_DATA_TYPE_INT16:
    case HCCL_DATA_TYPE_UINT16:
    case HCCL_DATA_TYPE_FP16:
    case HCCL_DATA_TYPE_BFP16:
      return 2;
    case HCCL_DATA_TYPE_INT32:
    case HCCL_DATA_TYPE_UINT32:
    case HCCL_DATA_TYPE_FP32:
      return 4;
    case HCCL_DATA_TYPE_INT64:
    case HCCL_DATA_TYPE_UINT64:
    case HCCL_DATA_TYPE_FP64:
      return 8;
    case HCCL_DATA_TYPE_INT128:
      return 16;
  }
  return 0;
}

// `out` may be one of the inputs: every element is read before it is written.
void reduce_in_rank_order(const std::vector<const std::byte*>& inputs,
                          std::byte* out,
                          uint64_t count,
                          HcclDataType dtype,
                          HcclReduceOp op) {
  switch (dtype) {
    case HCCL_DATA_TYPE_INT8:
      return reduce<int8_t>(inputs, out, count, op);
    case HCCL_DATA_TYPE_INT16:
      return reduce<int16_t>(inputs, out, count, op);
    case HCCL_DATA_TYPE_INT32:
      return reduce<int32_t>(inputs, out, count, op);
    case HCCL_DATA_TYPE_INT64:
      return reduce<int64_t>(inputs, out, count, op);
    case HCCL_DATA_TYPE_FP16:
      return reduce<Half>(inputs, out, count, op);
    case HCCL_DATA_TYPE_BFP16:
      return reduce<Brain>(inputs, out, count, op);
    default:
      return reduce<float>(inputs, out, count, op);
  }
}

}  // namespace emulator
