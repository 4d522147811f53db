// Which CANN this library is: compiled once for each version, with EMULATED_CANN.
#include "emulator/op.h"

namespace emulator {

int cann_version() { return EMULATED_CANN; }

}  // namespace emulator
