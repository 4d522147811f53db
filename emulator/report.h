// What the cards did, as JSON: FASTCHAT_EMULATOR_REPORT names the file.
#pragma once

namespace emulator {

/// Writes the file, if one is asked for. At exit, and at aclFinalize.
void write_report();

}  // namespace emulator
