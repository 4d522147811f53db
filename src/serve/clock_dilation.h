// The clock of simulated devices, as far as a program on them has to know of it.
#pragma once

#include <optional>

namespace fastchat::serve {

/// FASTCHAT_CLOCK_DILATION: wall seconds per second of simulated devices, which compute nothing and
/// whose work takes a modelled time; 0: no time. nullopt where it is not set: devices are what they
/// say. Throws UsageFailure when it is no number.
std::optional<double> clock_dilation();

}  // namespace fastchat::serve
