#include "emulator/ops/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace emulator {

void scale_columns(std::vector<float>& values, const std::vector<float>& factors) {
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i % factors.size()];
}

void store_quantised_rows(const std::vector<float>& values,
                          size_t width,
                          const HostView& out,
                          const HostView& scales) {
  std::vector<float> quantised(values.size());
  std::vector<float> row_scales;
  for (size_t begin = 0; begin < values.size(); begin += width) {
    float largest = 0;
    for (size_t c = 0; c < width; ++c) largest = std::max(largest, std::fabs(values[begin + c]));
    const float scale = largest / 127.0f;
    for (size_t c = 0; c < width; ++c) {
      const float q = scale > 0 ? std::nearbyint(values[begin + c] / scale) : 0.0f;
      quantised[begin + c] = std::clamp(q, -128.0f, 127.0f);
    }
    row_scales.push_back(scale);
  }
  store_all(out, quantised.data());
  store_all(scales, row_scales.data());
}

uint64_t pack_scale(float scale, std::optional<float> offset) {
  uint64_t packed = (std::bit_cast<uint32_t>(scale) & 0xFFFFE000u) | uint64_t{1} << 46;
  if (offset) {
    const auto whole = static_cast<int32_t>(std::clamp(std::nearbyint(*offset), -256.0f, 255.0f));
    packed |= static_cast<uint64_t>(static_cast<uint32_t>(whole) & 0x1FFu) << 37;
  }
  return packed;
}

float unpack_scale(uint64_t packed) {
  return std::bit_cast<float>(static_cast<uint32_t>(packed) & 0xFFFFE000u);
}

}  // namespace emulator
