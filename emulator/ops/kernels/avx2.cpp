#define EMULATOR_ISA avx2
#include "emulator/ops/kernels/table.inc"
