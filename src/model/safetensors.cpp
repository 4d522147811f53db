#include "model/safetensors.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "model/config_reader.h"
#include "model/safetensors_file.h"
#include "model/weight_source.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 64 * kMiB;
constexpr std::size_t kMaxShards = 100'000;
constexpr std::size_t kMaxNamedFiles = 20;  // in a message

using Files = std::vector<std::unique_ptr<SafetensorsFile>>;

std::string describe(std::string_view dtype, std::span<const std::int64_t> shape) {
  std::string out = fmt::format("{}[", dtype);
  for (std::size_t i = 0; i < shape.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return out + "]";
}

std::optional<device::DType> weight_dtype(std::string_view name) {
  if (name == "F32") return device::DType::f32;
  if (name == "F16") return device::DType::f16;
  if (name == "BF16") return device::DType::bf16;
  return std::nullopt;
}

class SafetensorsSource : public WeightSource {
 public:
  SafetensorsSource(std::string folder, Files files)
      : folder_(std::move(folder)), files_(std::move(files)) {}

  /// Makes a tensor of a file known, as `origin` says it is there.
  void add(const std::string& origin, const std::string& name, std::size_t file_index) {
    SafetensorsFile& file = *files_[file_index];
    const auto entry = file.header().find(name);
    check(entry != file.header().end(),
          "{}: says that tensor {} is in {}, where it is not",
          origin,
          in_quotes(name),
          file.name());
    tensors_.emplace(name, Tensor{&file, &entry->second});
    total_bytes_ += entry->second.end - entry->second.begin;
  }

  bool has(std::string_view name) const override { return tensors_.contains(name); }
  std::uint64_t total_bytes() const override { return total_bytes_; }

  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override {
    const auto found = tensors_.find(name);
    check(found != tensors_.end(),
          "{}: tensor {}: expected {}, found no tensor of that name in {} safetensors files",
          folder_,
          in_quotes(name),
          describe("float", shape),
          files_.size());
    const SafetensorsEntry& entry = *found->second.entry;
    SafetensorsFile& file = *found->second.file;
    check(std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end()),
          "{}: tensor {}: expected shape {}, found {}",
          file.name(),
          in_quotes(name),
          describe("", shape),
          describe("", entry.shape));
    const std::optional<device::DType> dtype = weight_dtype(entry.dtype);
    check(dtype.has_value(),
          "{}: tensor {}: expected F32, F16 or BF16, found {}",
          file.name(),
          in_quotes(name),
          entry.dtype);
    ops::WeightSlice slice;
    slice.data = file.acquire(entry, device::size_of(*dtype));
    slice.dtype = *dtype;
    slice.rows = shape.empty() ? 1 : shape[0];
    slice.columns = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) slice.columns *= shape[i];
    slice.row_stride = slice.columns;
    return slice;
  }

  void release(std::string_view name) override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return;
    found->second.file->release(*found->second.entry);
  }

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

std::unique_ptr<SafetensorsFile> open_shard(const std::string& path,
                                            const SafetensorsOptions& options) {
  const std::string_view network =
      options.strategy == LoadStrategy::automatic ? options.network(path) : std::string_view();
  if (!network.empty())
    log::info(
        "{} is on a network file system ({}): it is read once, from front to back", path, network);
  if (network.empty() && options.strategy != LoadStrategy::eager) return map_safetensors_file(path);
  return read_safetensors_file(path, options.open(path), options.num_uses);
}

// tensor name → shard file name. Throws Failure for names that leave the folder.
std::map<std::string, std::string> read_index(const std::filesystem::path& file) {
  const nlohmann::json json = read_json_file(file, kMaxIndexBytes);
  const ConfigReader reader(json, file.string());
  if (!reader.has("weight_map") || !json["weight_map"].is_object())
    reader.reject("weight_map", "an object of tensor names and file names");
  std::map<std::string, std::string> out;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    const std::string* text = shard.get_ptr<const std::string*>();
    check(text != nullptr && !text->empty() && text->find('/') == std::string::npos &&
              text->find('\0') == std::string::npos && *text != "." && *text != "..",
          "{}: weight_map: tensor {}: expected the name of a file in the same folder, found {}",
          file.string(),
          in_quotes(name),
          text != nullptr ? in_quotes(*text) : std::string(shard.type_name()));
    out.emplace(name, *text);
  }
  return out;
}

[[noreturn]] void fail_without_safetensors(const std::filesystem::path& folder) {
  const bool has_pickle = std::filesystem::exists(folder / "pytorch_model.bin") ||
                          std::filesystem::exists(folder / "pytorch_model.bin.index.json");
  if (has_pickle)
    fail(
        "{0}: expected model.safetensors or model.safetensors.index.json, found pytorch_model.bin, "
        "which can run code when it is read. Convert it once: python3 -c \"from transformers "
        "import "
        "AutoModelForCausalLM as M; M.from_pretrained('{0}', "
        "torch_dtype='auto').save_pretrained('{0}', safe_serialization=True)\"",
        folder.string());
  fail("{}: expected model.safetensors or model.safetensors.index.json, found neither",
       folder.string());
}

void check_complete(const std::filesystem::path& folder,
                    const std::filesystem::path& index,
                    const std::set<std::string>& files) {
  std::string missing;
  std::size_t num_missing = 0;
  for (const std::string& file : files) {
    std::error_code error;
    if (std::filesystem::exists(folder / file, error)) continue;
    if (++num_missing <= kMaxNamedFiles)
      missing.append(missing.empty() ? "" : ", ").append(in_quotes(file));
  }
  if (num_missing > kMaxNamedFiles) missing.append(", …");
  check(num_missing == 0,
        "{}: {} of the {} files that it names are not there ({}): the download is incomplete",
        index.string(),
        num_missing,
        files.size(),
        missing);
}

std::unique_ptr<WeightSource> open_sharded(const std::filesystem::path& folder,
                                           const std::filesystem::path& index,
                                           const SafetensorsOptions& options) {
  const std::map<std::string, std::string> weight_map = read_index(index);
  std::set<std::string> names;
  for (const auto& [name, shard] : weight_map) names.insert(shard);
  check(names.size() <= kMaxShards,
        "{}: expected at most {} files, found {}",
        index.string(),
        kMaxShards,
        names.size());
  check_complete(folder, index, names);
  Files files;
  std::map<std::string, std::size_t> file_indices;
  for (const std::string& name : names) {
    file_indices.emplace(name, files.size());
    files.push_back(open_shard((folder / name).string(), options));
  }
  auto source = std::make_unique<SafetensorsSource>(folder.string(), std::move(files));
  for (const auto& [name, shard] : weight_map)
    source->add(index.string(), name, file_indices.at(shard));
  return source;
}

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder,
                                               const SafetensorsOptions& options) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code error;
  if (!std::filesystem::exists(single, error)) {
    if (!std::filesystem::exists(index, error)) fail_without_safetensors(folder);
    return open_sharded(folder, index, options);
  }
  Files files;
  files.push_back(open_shard(single.string(), options));
  std::vector<std::string> names;
  for (const auto& [name, entry] : files.front()->header()) names.push_back(name);
  auto source = std::make_unique<SafetensorsSource>(folder.string(), std::move(files));
  for (const std::string& name : names) source->add(single.string(), name, 0);
  return source;
}

}  // namespace fastchat::model
