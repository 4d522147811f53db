// Element types of tensors, and their 16-bit conversions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace fastchat::device {

enum class DType : std::uint8_t { f32, f16, bf16, i8, u8, i32, i64 };

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::i64:
      return 8;
    case DType::i8:
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

/// "f32", "f16", "bf16", "i8", "u8", "i32", "i64".
std::string_view to_string(DType dtype);

/// Reads our names and PyTorch's: "f16", "float16", "half", "bf16", "bfloat16", "f32", "float32",
/// "float". Errors: invalid_request naming what is accepted.
Result<DType> parse_float_dtype(std::string_view name);

/// Round to nearest, ties to even; NaN stays NaN. f16 overflows to infinity as IEEE 754 says.
float f16_to_f32(std::uint16_t bits);
std::uint16_t f32_to_f16(float value);
float bf16_to_f32(std::uint16_t bits);
std::uint16_t f32_to_bf16(float value);
/// data[index] of a float dtype or i8.
float to_f32(const void* data, DType dtype, std::size_t index);

}  // namespace fastchat::device
