// Declarations of peaks.cpp.
#pragma once

#include <cstdint>

namespace fastchat::ops::cpu::FASTCHAT_ISA {

/// All return the multiply-adds done in `rounds`.
std::int64_t multiply_adds_f32(std::int64_t rounds);
std::int64_t multiply_adds_bf16(std::int64_t rounds);  // defined where kPairProducts
std::int64_t multiply_adds_int8(std::int64_t rounds);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
