// The tensors of several safetensors files, by name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/safetensors_file.h"
#include "model/weight_source.h"

namespace fastchat::model {

/// "BF16[4, 8]" as messages have it.
std::string describe_tensor(std::string_view dtype, std::span<const std::int64_t> shape);

/// get() gives tensors of floating-point numbers; acquire() the bytes of any.
class SafetensorsSource : public WeightSource {
 public:
  using Files = std::vector<std::unique_ptr<SafetensorsFile>>;

  /// `folder` is for messages.
  SafetensorsSource(std::string folder, Files files);

  /// Makes a tensor of a file known, as `origin` says it is there. Throws Failure when it is not,
  /// or another file has one of that name.
  void add(const std::string& origin, const std::string& name, std::size_t file_index);
  /// Makes all tensors of all files known.
  void add_all();

  bool has(std::string_view name) const override { return find(name) != nullptr; }
  std::uint64_t total_bytes() const override { return total_bytes_; }
  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override;
  void release(std::string_view name) override;

  /// What the tensor's file says of it; nullptr: there is no tensor of that name.
  const SafetensorsEntry* find(std::string_view name) const;
  /// The file of a tensor that find() knows.
  const std::string& file_of(std::string_view name) const;
  /// The bytes of a tensor that find() knows, aligned to `alignment`. Valid until release(name).
  const void* acquire(std::string_view name, std::size_t alignment);

 private:
  struct Tensor {
    SafetensorsFile* file = nullptr;
    const SafetensorsEntry* entry = nullptr;
  };

  std::string folder_;
  Files files_;
  std::map<std::string, Tensor, std::less<>> tensors_;  // fixed once opened
  std::uint64_t total_bytes_ = 0;
};

/// The files that an index names, in its folder. Throws Failure as open_safetensors() does.
std::unique_ptr<SafetensorsSource> open_safetensors_index(const std::filesystem::path& index,
                                                          const SafetensorsOptions& options);
/// Files of a folder, by name, with all of their tensors. Throws Failure.
std::unique_ptr<SafetensorsSource> open_safetensors_files(const std::filesystem::path& folder,
                                                          const std::vector<std::string>& names,
                                                          const SafetensorsOptions& options);
/// What open_safetensors() opens.
std::unique_ptr<SafetensorsSource> open_model_files(const std::filesystem::path& folder,
                                                    const SafetensorsOptions& options);

}  // namespace fastchat::model
