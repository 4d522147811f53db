// Kernels of linear; what they do is said at struct Kernels.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

float quantize_row(const float* x, std::int64_t count, std::int8_t* out);
void linear_input_scales(const LinearArgs& args,
                         std::int64_t begin,
                         std::int64_t end,
                         float* scales);
void linear_prepare(const LinearArgs& args, float* x);
void linear_stream(const LinearArgs& args, const float* x, std::int64_t begin, std::int64_t end);
void linear_tile(const LinearArgs& args,
                 std::int64_t row_begin,
                 std::int64_t row_end,
                 std::int64_t begin,
                 std::int64_t end,
                 float* scratch);
void pack(const PackArgs& args, std::int64_t begin, std::int64_t end);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
