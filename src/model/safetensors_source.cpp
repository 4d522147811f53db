#include "model/safetensors_source.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bilingual_failure.h"
#include "base/check.h"
#include "model/config_reader.h"

namespace fastchat::model {
namespace {

std::optional<device::DType> weight_dtype(std::string_view name) {
  if (name == "F32") return device::DType::f32;
  if (name == "F16") return device::DType::f16;
  if (name == "BF16") return device::DType::bf16;
  return std::nullopt;
}

}  // namespace

std::string describe_tensor(std::string_view dtype, std::span<const std::int64_t> shape) {
  std::string out = fmt::format("{}[", dtype);
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return out + "]";
}

SafetensorsSource::SafetensorsSource(std::string folder, Files files)
    : folder_(std::move(folder)), files_(std::move(files)) {}

void SafetensorsSource::add(const std::string& origin,
                            const std::string& name,
                            std::size_t file_index) {
  SafetensorsFile& file = *files_[file_index];
  const auto entry = file.header().find(name);
  check(entry != file.header().end(),
        "{}: says that tensor {} is in {}, where it is not",
        origin,
        in_quotes(name),
        file.name());
  const auto [place, is_new] = tensors_.emplace(name, Tensor{&file, &entry->second});
  check(is_new,
        "{}: tensor {}: expected it in one file, found it in {} too",
        file.name(),
        in_quotes(name),
        place->second.file->name());
  total_bytes_ += entry->second.end - entry->second.begin;
}

void SafetensorsSource::add_all() {
  for (std::size_t i = 0; i < files_.size(); ++i)
    for (const auto& [name, entry] : files_[i]->header()) add(files_[i]->name(), name, i);
}

const SafetensorsEntry* SafetensorsSource::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second.entry;
}

const std::string& SafetensorsSource::file_of(std::string_view name) const {
  const auto found = tensors_.find(name);
  FASTCHAT_ASSERT(found != tensors_.end(), "no tensor {}", name);
  return found->second.file->name();
}

const void* SafetensorsSource::acquire(std::string_view name, std::size_t alignment) {
  const auto found = tensors_.find(name);
  FASTCHAT_ASSERT(found != tensors_.end(), "no tensor {}", name);
  return found->second.file->acquire(*found->second.entry, alignment);
}

ops::WeightSlice SafetensorsSource::get(std::string_view name,
                                        std::span<const std::int64_t> shape) {
  const SafetensorsEntry* const entry = find(name);
  check_in_both(entry != nullptr,
                "{}: tensor {}: expected {}, found no tensor of that name in {} safetensors files",
                "{}：缺少张量 {}（应为 {}）：{} 个 safetensors 文件中都没有",
                folder_,
                in_quotes(name),
                describe_tensor("float", shape),
                files_.size());
  check_in_both(std::equal(shape.begin(), shape.end(), entry->shape.begin(), entry->shape.end()),
                "{}: tensor {}: expected shape {}, found {}",
                "{}：张量 {} 的形状应为 {}，实为 {}",
                file_of(name),
                in_quotes(name),
                describe_tensor("", shape),
                describe_tensor("", entry->shape));
  const std::optional<device::DType> dtype = weight_dtype(entry->dtype);
  check_in_both(dtype.has_value(),
                "{}: tensor {}: expected F32, F16 or BF16, found {}",
                "{}：张量 {} 的类型应为 F32、F16 或 BF16，实为 {}",
                file_of(name),
                in_quotes(name),
                entry->dtype);
  ops::WeightSlice slice;
  slice.data = acquire(name, device::size_of(*dtype));
  slice.dtype = *dtype;
  slice.rows = shape.empty() ? 1 : shape[0];
  slice.columns = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) slice.columns *= shape[i];
  slice.row_stride = slice.columns;
  return slice;
}

void SafetensorsSource::release(std::string_view name) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return;
  found->second.file->release(*found->second.entry);
}

}  // namespace fastchat::model
