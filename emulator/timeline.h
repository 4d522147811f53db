// The picture of what the cards did when.
#pragma once

#include <string>

namespace emulator {

/// Writes one HTML page that needs nothing else: cards × modelled time, tasks coloured by what they
/// are, zoomed with the wheel. Of each card the last Ledger::kMaxBars tasks. Says so on stderr when
/// the file cannot be written.
void write_timeline(const std::string& path);

}  // namespace emulator
