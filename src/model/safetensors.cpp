#include "model/safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "device/cpu/host_memory.h"
#include "model/config_reader.h"
#include "model/weight_source.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 64 * kMiB;
constexpr std::size_t kMaxShards = 100'000;

std::string system_message() { return std::generic_category().message(errno); }

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::string& name)
      : descriptor_(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
    check(descriptor_ >= 0, "{}: cannot be opened: {}", name, system_message());
  }
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;

  std::uint64_t size(const std::string& name) const {
    struct stat status {};
    check(::fstat(descriptor_, &status) == 0, "{}: {}", name, system_message());
    check(S_ISREG(status.st_mode), "{}: expected a regular file", name);
    return static_cast<std::uint64_t>(status.st_size);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// A file mapped read-only.
class Mapping {
 public:
  Mapping(const FileDescriptor& file, std::uint64_t size_bytes, const std::string& name)
      : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    void* mapped = ::mmap(nullptr, size_bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
    check(mapped != MAP_FAILED, "{}: cannot be mapped: {}", name, system_message());
    data_ = static_cast<const char*>(mapped);
    advise(0, size_bytes, MADV_SEQUENTIAL);
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_bytes_);
  }
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(other.size_bytes_) {}
  Mapping& operator=(Mapping&&) = delete;

  const char* data() const { return data_; }
  std::uint64_t size_bytes() const { return size_bytes_; }

  /// Tells the kernel about the pages that [begin, end) touches. A hint: failure changes speed
  /// only. Neighbours that share a page and are dropped with it come back from the file when they
  /// are read.
  void advise(std::uint64_t begin, std::uint64_t end, int advice) const {
    const device::PageRange pages = device::touched_pages(begin, end, device::page_size());
    if (pages.size_bytes() > 0)
      ::madvise(const_cast<char*>(data_) + pages.begin, pages.size_bytes(), advice);
  }

 private:
  const char* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
};

// One file, its header read and checked.
struct Shard {
  std::string name;  // path, for messages
  FileDescriptor file;
  Mapping mapping;
  SafetensorsHeader header;

  explicit Shard(const std::string& path)
      : name(path), file(path), mapping(file, file.size(path), path) {
    const std::string_view bytes(mapping.data(), mapping.size_bytes());
    header = parse_safetensors_header(bytes, mapping.size_bytes(), name);
  }
};

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
  SafetensorsSource(std::string folder, std::vector<Shard> shards)
      : folder_(std::move(folder)), shards_(std::move(shards)) {}

  /// Makes a tensor of a shard known, as `origin` says it is there.
  void add(const std::string& origin, const std::string& name, std::size_t shard_index) {
    const Shard& shard = shards_[shard_index];
    const auto entry = shard.header.find(name);
    check(entry != shard.header.end(),
          "{}: says that tensor {} is in {}, where it is not",
          origin,
          in_quotes(name),
          shard.name);
    tensors_.emplace(name, Tensor{shard_index, &entry->second, {}, 0});
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
          shards_.size());
    Tensor& tensor = found->second;
    const SafetensorsEntry& entry = *tensor.entry;
    const Shard& shard = shards_[tensor.shard_index];
    check(std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end()),
          "{}: tensor {}: expected shape {}, found {}",
          shard.name,
          in_quotes(name),
          describe("", shape),
          describe("", entry.shape));
    const std::optional<device::DType> dtype = weight_dtype(entry.dtype);
    check(dtype.has_value(),
          "{}: tensor {}: expected F32, F16 or BF16, found {}",
          shard.name,
          in_quotes(name),
          entry.dtype);
    // Reading mapped pages past the end of a file is a fatal signal: better a message, as far as
    // one look can tell.
    const std::uint64_t size_now = shard.file.size(shard.name);
    check(size_now >= shard.mapping.size_bytes(),
          "{}: expected {} bytes, found {}: the file shrank since it was opened",
          shard.name,
          shard.mapping.size_bytes(),
          size_now);

    shard.mapping.advise(entry.begin, entry.end, MADV_WILLNEED);
    ops::WeightSlice slice;
    slice.data = aligned(tensor, shard, *dtype);
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
    Tensor& tensor = found->second;
    const std::lock_guard lock(mutex_);
    if (tensor.num_users == 0 || --tensor.num_users > 0) return;
    tensor.copy = {};
    const Mapping& mapping = shards_[tensor.shard_index].mapping;
    mapping.advise(tensor.entry->begin, tensor.entry->end, MADV_DONTNEED);
  }

 private:
  struct Tensor {
    std::size_t shard_index = 0;
    const SafetensorsEntry* entry = nullptr;
    std::vector<std::uint64_t> copy;  // of a tensor that lies unaligned in its file
    int num_users = 0;
  };

  // Writers pad headers so that tensors are aligned; the format does not ask for it, and early
  // files are not.
  const void* aligned(Tensor& tensor, const Shard& shard, device::DType dtype) {
    const std::lock_guard lock(mutex_);
    ++tensor.num_users;
    const char* data = shard.mapping.data() + tensor.entry->begin;
    if (tensor.entry->begin % device::size_of(dtype) == 0) return data;
    const std::uint64_t size_bytes = tensor.entry->end - tensor.entry->begin;
    if (tensor.copy.empty()) {
      tensor.copy.resize((size_bytes + 7) / 8);
      std::memcpy(tensor.copy.data(), data, size_bytes);
    }
    return tensor.copy.data();
  }

  std::string folder_;
  std::vector<Shard> shards_;
  std::map<std::string, Tensor, std::less<>> tensors_;  // names and entries are fixed once opened
  std::uint64_t total_bytes_ = 0;
  std::mutex mutex_;  // guards copies and users of tensors
};

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

std::unique_ptr<WeightSource> open_sharded(const std::filesystem::path& folder,
                                           const std::filesystem::path& index) {
  const std::map<std::string, std::string> weight_map = read_index(index);
  std::map<std::string, std::size_t> shard_indices;
  for (const auto& [name, shard] : weight_map) shard_indices.emplace(shard, 0);
  check(shard_indices.size() <= kMaxShards,
        "{}: expected at most {} files, found {}",
        index.string(),
        kMaxShards,
        shard_indices.size());
  std::vector<Shard> shards;
  shards.reserve(shard_indices.size());
  for (auto& [file, shard_index] : shard_indices) {
    const std::filesystem::path path = folder / file;
    std::error_code error;
    check(std::filesystem::exists(path, error),
          "{}: names the file {}, which is not there: the download is incomplete",
          index.string(),
          in_quotes(file));
    shard_index = shards.size();
    shards.emplace_back(path.string());
  }
  auto source = std::make_unique<SafetensorsSource>(folder.string(), std::move(shards));
  for (const auto& [name, shard] : weight_map)
    source->add(index.string(), name, shard_indices.at(shard));
  return source;
}

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder) {
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code error;
  if (!std::filesystem::exists(single, error)) {
    if (!std::filesystem::exists(index, error)) fail_without_safetensors(folder);
    return open_sharded(folder, index);
  }
  std::vector<Shard> shards;
  shards.emplace_back(single.string());
  std::vector<std::string> names;
  for (const auto& [name, entry] : shards.front().header) names.push_back(name);
  auto source = std::make_unique<SafetensorsSource>(folder.string(), std::move(shards));
  for (const std::string& name : names) source->add(single.string(), name, 0);
  return source;
}

}  // namespace fastchat::model
