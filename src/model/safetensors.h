// The header of a safetensors file: what it holds, checked in full before any of it is used.
// Format: 8 bytes little-endian header length, the header as JSON, then the tensors' bytes without
// gaps.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::model {

/// A tensor as the header states it. Offsets are from the start of the file.
struct SafetensorsEntry {
  std::string dtype;  // the format's name: "BF16"
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

using SafetensorsHeader = std::map<std::string, SafetensorsEntry, std::less<>>;

/// Bytes at the start of a file that hold its header: 8 plus the length stated in `first_8_bytes`.
/// Throws Failure naming `origin` when that is 0, above the format's limit of 100 MB, or does not
/// fit `file_bytes`.
std::uint64_t safetensors_header_bytes(std::string_view first_8_bytes,
                                       std::uint64_t file_bytes,
                                       const std::string& origin);

/// Reads a header; `bytes` are the first safetensors_header_bytes() of a file of `file_bytes`. As
/// strict as the reference implementation: known dtypes, sizes that match shapes, tensors that
/// cover the rest of the file without gap or overlap; and names that occur once. Throws Failure
/// naming `origin`, the tensor, expected and found.
SafetensorsHeader parse_safetensors_header(std::string_view bytes,
                                           std::uint64_t file_bytes,
                                           const std::string& origin);

}  // namespace fastchat::model
