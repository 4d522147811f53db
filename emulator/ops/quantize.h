// Symmetric int8 by rows, as DynamicQuant and its fusions define it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "emulator/ops/view.h"

namespace emulator {

/// values[r][c] *= factors[c].
void scale_columns(std::vector<float>& values, const std::vector<float>& factors);

/// Each row of `width` values: scale = max |x| / 127 into `scales` (f32), round(x / scale) into
/// `out` (INT8).
void store_quantised_rows(const std::vector<float>& values,
                          size_t width,
                          const HostView& out,
                          const HostView& scales);

/// TransQuantParam's packing: the upper 19 bits of the f32 scale, bit 46 set, and an offset as nine
/// bits from bit 37.
uint64_t pack_scale(float scale, std::optional<float> offset);
/// The scale in such a word.
float unpack_scale(uint64_t packed);

}  // namespace emulator
