// The inner loop of linear and attention: a few rows of f32 times a panel of weights. See
// PanelProduct.
#pragma once

#include "ops/cpu/kernels.h"

namespace fastchat::ops::cpu::FASTCHAT_ISA {

void panel_product(const PanelProduct& product);

}  // namespace fastchat::ops::cpu::FASTCHAT_ISA
