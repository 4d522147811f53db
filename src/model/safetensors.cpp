#include "model/safetensors_source.h"

#include <map>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/bilingual_failure.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "model/config_reader.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 64 * kMiB;
constexpr std::size_t kMaxShards = 100'000;
constexpr std::size_t kMaxNamedFiles = 20;  // in a message

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
    fail_in_both(
        "{0}: expected model.safetensors or model.safetensors.index.json, found pytorch_model.bin, "
        "which can run code when it is read. Convert it once: python3 -c \"from transformers "
        "import "
        "AutoModelForCausalLM as M; M.from_pretrained('{0}', "
        "torch_dtype='auto').save_pretrained('{0}', safe_serialization=True)\"",
        "{0}：应有 model.safetensors 或 model.safetensors.index.json，却只有 "
        "pytorch_model.bin，读取它可能会执行其中的代码。请转换一次：python3 -c \"from transformers "
        "import "
        "AutoModelForCausalLM as M; M.from_pretrained('{0}', "
        "torch_dtype='auto').save_pretrained('{0}', safe_serialization=True)\"",
        folder.string());
  fail_in_both("{}: expected model.safetensors or model.safetensors.index.json, found neither",
               "{}：其中既没有 model.safetensors，也没有 model.safetensors.index.json",
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
  check_in_both(
      num_missing == 0,
      "{}: {} of the {} files that it names are not there ({}): the download is incomplete",
      "{}：它列出的文件中缺少 {} 个（共 {} 个）：{}；下载不完整",
      index.string(),
      num_missing,
      files.size(),
      missing);
}

}  // namespace

std::unique_ptr<SafetensorsSource> open_safetensors_index(const std::filesystem::path& index,
                                                          const SafetensorsOptions& options) {
  const std::filesystem::path folder = index.parent_path();
  const std::map<std::string, std::string> weight_map = read_index(index);
  std::set<std::string> names;
  for (const auto& [name, shard] : weight_map) names.insert(shard);
  check(names.size() <= kMaxShards,
        "{}: expected at most {} files, found {}",
        index.string(),
        kMaxShards,
        names.size());
  check_complete(folder, index, names);
  SafetensorsSource::Files files;
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

std::unique_ptr<SafetensorsSource> open_safetensors_files(const std::filesystem::path& folder,
                                                          const std::vector<std::string>& names,
                                                          const SafetensorsOptions& options) {
  SafetensorsSource::Files files;
  for (const std::string& name : names)
    files.push_back(open_shard((folder / name).string(), options));
  auto source = std::make_unique<SafetensorsSource>(folder.string(), std::move(files));
  source->add_all();
  return source;
}

std::unique_ptr<SafetensorsSource> open_model_files(const std::filesystem::path& folder,
                                                    const SafetensorsOptions& options) {
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code error;
  if (std::filesystem::exists(folder / "model.safetensors", error))
    return open_safetensors_files(folder, {"model.safetensors"}, options);
  if (!std::filesystem::exists(index, error)) fail_without_safetensors(folder);
  return open_safetensors_index(index, options);
}

std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder,
                                               const SafetensorsOptions& options) {
  return open_model_files(folder, options);
}

}  // namespace fastchat::model
