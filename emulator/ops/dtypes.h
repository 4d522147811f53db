// What the operators know about aclDataType: sizes, classes, promotion.
#pragma once

#include <cstdint>
#include <string>

#include "device/ascend/cann.h"

namespace emulator {

/// Bytes of one element; 0 for types that this emulator does not compute in (4-bit types among
/// them).
int64_t element_bytes(aclDataType dtype);

bool is_floating(aclDataType dtype);
bool is_integer(aclDataType dtype);  // without BOOL

/// "FLOAT16", "BF16", … or "dtype 77".
std::string dtype_name(aclDataType dtype);

/// The type that an operation of two operands computes in, as numpy and torch promote: the wider of
/// one class, the floating one of two classes, FLOAT for FLOAT16 with BF16.
aclDataType promote(aclDataType a, aclDataType b);

/// Whether a result of type `from` may be stored in a tensor of type `to`: not from floating to
/// whole numbers, and only BOOL to BOOL.
bool can_store(aclDataType from, aclDataType to);

}  // namespace emulator
