#define EMULATOR_ISA generic
#include "emulator/ops/kernels/table.inc"
