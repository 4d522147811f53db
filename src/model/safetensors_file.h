// One safetensors file: where its tensors' bytes come from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "model/safetensors.h"

namespace fastchat::model {

/// acquire() and release() are safe from any thread.
class SafetensorsFile {
 public:
  virtual ~SafetensorsFile() = default;
  const std::string& name() const { return name_; }  // path, for messages
  const SafetensorsHeader& header() const { return header_; }

  /// The bytes of an entry of header(), aligned to `alignment` (at most 16). Valid until as many
  /// releases as acquires. Throws Failure when the file has become shorter or cannot be read.
  virtual const void* acquire(const SafetensorsEntry& entry, std::size_t alignment) = 0;
  virtual void release(const SafetensorsEntry& entry) = 0;

 protected:
  std::string name_;
  SafetensorsHeader header_;
};

/// Mapped: pages are read when they are touched, and dropped by release().
std::unique_ptr<SafetensorsFile> map_safetensors_file(const std::string& path);

/// A file's bytes in order.
class FileReader {
 public:
  virtual ~FileReader() = default;
  virtual std::uint64_t size_bytes() = 0;
  /// At most `count` bytes from `offset` on; fewer only at the end of the file. Throws Failure.
  virtual std::size_t read(std::uint64_t offset, char* buffer, std::size_t count) = 0;
};
std::unique_ptr<FileReader> open_file(const std::string& path);

/// How many times a load acquires and releases the tensor of that name.
using NumUses = std::function<int(std::string_view name)>;

/// Read from front to back in large pieces, as far as tensors have been asked for; what lies before
/// them waits in memory for its turn. A tensor's memory is given back after `num_uses` uses; one
/// that is used more often is read again.
std::unique_ptr<SafetensorsFile> read_safetensors_file(const std::string& path,
                                                       std::unique_ptr<FileReader> reader,
                                                       const NumUses& num_uses);

/// The kind of network file system that holds `path` ("nfs", "lustre", …; FUSE counts as one), or
/// empty.
std::string_view network_file_system(const std::string& path);
/// The same for statfs's f_type.
std::string_view network_file_system(std::uint32_t type);

}  // namespace fastchat::model
