#include "emulator/ops/dtypes.h"

#include <fmt/format.h>

#include <algorithm>

namespace emulator {
namespace {

bool is_unsigned(aclDataType dtype) {
  return dtype == ACL_UINT8 || dtype == ACL_UINT16 || dtype == ACL_UINT32 || dtype == ACL_UINT64;
}

aclDataType signed_of(int64_t bytes) {
  switch (bytes) {
    case 1:
      return ACL_INT8;
    case 2:
      return ACL_INT16;
    case 4:
      return ACL_INT32;
    default:
      return ACL_INT64;
  }
}

}  // namespace

int64_t element_bytes(aclDataType dtype) {
  switch (dtype) {
    case ACL_INT8:
    case ACL_UINT8:
    case ACL_BOOL:
      return 1;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_INT16:
    case ACL_UINT16:
      return 2;
    case ACL_FLOAT:
    case ACL_INT32:
    case ACL_UINT32:
      return 4;
    case ACL_DOUBLE:
    case ACL_INT64:
    case ACL_UINT64:
      return 8;
    default:
      return 0;
  }
}

bool is_floating(aclDataType dtype) {
  return dtype == ACL_FLOAT || dtype == ACL_FLOAT16 || dtype == ACL_BF16 || dtype == ACL_DOUBLE;
}

bool is_integer(aclDataType dtype) {
  return element_bytes(dtype) > 0 && !is_floating(dtype) && dtype != ACL_BOOL;
}

std::string dtype_name(aclDataType dtype) {
  switch (dtype) {
    case ACL_FLOAT:
      return "FLOAT";
    case ACL_FLOAT16:
      return "FLOAT16";
    case ACL_BF16:
      return "BF16";
    case ACL_DOUBLE:
      return "DOUBLE";
    case ACL_INT4:
      return "INT4";
    case ACL_INT8:
      return "INT8";
    case ACL_INT16:
      return "INT16";
    case ACL_INT32:
      return "INT32";
    case ACL_INT64:
      return "INT64";
    case ACL_UINT8:
      return "UINT8";
    case ACL_UINT16:
      return "UINT16";
    case ACL_UINT32:
      return "UINT32";
    case ACL_UINT64:
      return "UINT64";
    case ACL_BOOL:
      return "BOOL";
    default:
      return fmt::format("dtype {}", static_cast<int>(dtype));
  }
}

aclDataType promote(aclDataType a, aclDataType b) {
  if (a == b || b == ACL_BOOL) return a;
  if (a == ACL_BOOL) return b;
  if (is_floating(a) != is_floating(b)) return is_floating(a) ? a : b;
  if (is_floating(a)) {
    return a == ACL_DOUBLE || b == ACL_DOUBLE ? ACL_DOUBLE : ACL_FLOAT;
  }
  const int64_t bytes_a = element_bytes(a);
  const int64_t bytes_b = element_bytes(b);
  if (is_unsigned(a) == is_unsigned(b)) return bytes_a >= bytes_b ? a : b;
  const int64_t bytes_unsigned = is_unsigned(a) ? bytes_a : bytes_b;
  const int64_t bytes_signed = is_unsigned(a) ? bytes_b : bytes_a;
  return signed_of(std::max(bytes_signed, 2 * bytes_unsigned));
}

bool can_store(aclDataType from, aclDataType to) {
  if (element_bytes(from) == 0 || element_bytes(to) == 0) return false;
  if (is_floating(from)) return is_floating(to);
  return from == ACL_BOOL || to != ACL_BOOL;
}

}  // namespace emulator
