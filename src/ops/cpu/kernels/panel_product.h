// The inner loop of linear and attention: a few rows of f32 times a panel of weights. See
// PanelProduct.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

/// How far ahead of the multiply-adds weights are asked for. The hardware's own prefetcher stops at
/// 4 KiB pages.
constexpr std::int64_t kPrefetchBytes = 4096;

void panel_product(const PanelProduct& product);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
