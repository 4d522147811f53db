// Any bytes as a safetensors file: the header is refused with a Failure, or every tensor lies
// inside the file.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using fastchat::Failure;
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    for (const auto& [name, tensor] :
         fastchat::model::parse_safetensors_header(file, size, "fuzz.safetensors"))
      if (tensor.begin > tensor.end || tensor.end > size) __builtin_trap();
  } catch (const Failure&) {
    return 0;  // a refused file
  }
  return 0;
}
