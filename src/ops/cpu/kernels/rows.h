// Kernels that work on rows or elements by themselves; what they do is said at struct Kernels.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

void convert(const void* x, Element x_element, void* out, Element out_element, std::int64_t count);
void add(const void* x, Element x_element, void* out, Element out_element, std::int64_t count);
void rms_norm(const NormArgs& args, std::int64_t begin, std::int64_t end);
void add_rms_norm(const NormArgs& args, std::int64_t begin, std::int64_t end);
void layer_norm(const NormArgs& args, std::int64_t begin, std::int64_t end);
void rotary(const RotaryArgs& args, std::int64_t begin, std::int64_t end);
void gated_activation(const GateArgs& args, std::int64_t begin, std::int64_t end);
RowScan scan(const float* x, std::int64_t count, float* chunk_max);
void sample_weights(const float* x,
                    std::int64_t count,
                    float max,
                    float inverse_temperature,
                    float quantum,
                    float* out);
double sample_mass(
    const float* x, std::int64_t count, float max, float inverse_temperature, float quantum);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
