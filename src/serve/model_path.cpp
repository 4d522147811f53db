#include "serve/model_path.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "serve/language.h"
#include "serve/model_options.h"

namespace fastchat::serve {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

/// A path as shells write it: "~/models".
fs::path expand_home(const std::string& path, const Environment& environment) {
  if (path == "~" || path.starts_with("~/")) return environment("HOME") + path.substr(1);
  return path;
}

/// "name" or "owner/name", of letters, digits, dots, dashes and underscores.
bool is_model_id(std::string_view text) {
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part[0] != '.' && part.find("..") == std::string_view::npos &&
           std::all_of(part.begin(), part.end(), [](unsigned char c) {
             return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
           });
  };
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_part(text);
  return is_part(text.substr(0, slash)) && is_part(text.substr(slash + 1));
}

/// A branch ("main", "refs/pr/3"), tag or commit; no path out of the cache.
bool is_revision(const fs::path& revision) {
  return !revision.empty() && revision.is_relative() &&
         std::none_of(revision.begin(), revision.end(), [](const fs::path& part) {
           return part == ".." || part == "." || part.empty();
         });
}

fs::path hugging_face_cache(const Environment& environment) {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string value = environment(name); !value.empty())
      return expand_home(value, environment);
  if (const std::string home = environment("HF_HOME"); !home.empty())
    return expand_home(home, environment) / "hub";
  const std::string cache = environment("XDG_CACHE_HOME");
  return expand_home(cache.empty() ? "~/.cache" : cache, environment) / "huggingface" / "hub";
}

/// Versions of ModelScope's library differ in what they put between the cache and "owner/name".
std::vector<fs::path> model_scope_caches(const Environment& environment) {
  std::vector<fs::path> roots;
  if (const std::string value = environment("MODELSCOPE_CACHE"); !value.empty()) {
    roots.push_back(expand_home(value, environment));
    roots.push_back(roots.front() / "hub");
  } else {
    roots.push_back(expand_home("~/.cache/modelscope/hub", environment));
  }
  std::vector<fs::path> out;
  for (const fs::path& root : roots) {
    out.push_back(root / "models");
    out.push_back(root);
  }
  return out;
}

std::optional<std::string> read_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  return line;
}

/// Where to look, and where was looked.
struct Search {
  std::string id;
  std::string revision;
  std::vector<fs::path> places;

  std::optional<fs::path> hugging_face(const Environment& environment) {
    std::string folder = "models--" + id;
    replace_all(folder, "/", "--");
    const fs::path repository = hugging_face_cache(environment) / folder;
    places.push_back(repository);
    const fs::path snapshots = repository / "snapshots";
    if (const auto commit = read_line(repository / "refs" / revision);
        commit && is_revision(*commit) && is_folder(snapshots / *commit))
      return snapshots / *commit;
    if (is_folder(snapshots / revision)) return snapshots / revision;  // a commit
    if (revision != "main") return std::nullopt;
    // Copied caches often come without refs: the latest snapshot, then.
    std::optional<fs::path> latest;
    fs::file_time_type latest_time;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(snapshots, error)) {
      if (!entry.is_directory(error)) continue;
      const fs::file_time_type time = entry.last_write_time(error);
      if (!latest || time > latest_time) {
        latest = entry.path();
        latest_time = time;
      }
    }
    return latest;
  }

  std::optional<fs::path> model_scope(const Environment& environment) {
    if (revision != "main") return std::nullopt;
    std::string mangled = id;
    replace_all(mangled, ".", "___");
    for (const fs::path& cache : model_scope_caches(environment)) {
      places.push_back(cache / mangled);
      if (is_folder(cache / mangled)) return cache / mangled;
      if (mangled != id && is_folder(cache / id)) return cache / id;
    }
    return std::nullopt;
  }
};

std::string download_commands(const std::string& id, const std::string& revision) {
  const std::string flag = revision == "main" ? "" : " --revision " + revision;
  return fmt::format(
      "  huggingface-cli download {0}{1}\n  modelscope download --model {0}", id, flag);
}

[[noreturn]] void fail_not_found(const Search& search) {
  std::string places;
  for (const fs::path& place : search.places) places += "\n  " + place.string();
  fail(
      fmt::runtime(text("{0}: no folder of that name here, and no model of that id (revision {1}) "
                        "in the local caches. Searched:{2}\nfastchat does not download. To get "
                        "it:\n{3}",
                        "{0}：此处没有这个文件夹，本地缓存中也没有此模型（版本 {1}）。已查找：{2}\n"
                        "fastchat 不会下载模型，请先下载：\n{3}")),
      search.id,
      search.revision,
      places,
      download_commands(search.id, search.revision));
}

void require_model_folder(const fs::path& folder) {
  std::error_code error;
  check(fs::exists(folder, error),
        fmt::runtime(text("{}: no such folder", "{}：没有这个文件夹")),
        folder.string());
  check(fs::is_directory(folder, error),
        fmt::runtime(text("{}: a file, where the model's folder was expected",
                          "{}：这是文件，应为模型所在的文件夹")),
        folder.string());
  check(fs::exists(folder / "config.json", error),
        fmt::runtime(text("{}: no model folder, there is no config.json in it",
                          "{}：不是模型文件夹，其中没有 config.json")),
        folder.string());
}

bool has_file(const fs::path& folder, std::string_view beginning, std::string_view end) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(beginning) && name.ends_with(end)) return true;
  }
  return false;
}

/// msModelSlim's names: quant_model_weight_w8a8.safetensors, quant_model_weights-00001-of-….
bool has_modelslim_weights(const fs::path& folder) {
  return has_file(folder, "quant_model_weight", ".safetensors");
}

bool is_modelslim(const fs::path& folder) {
  return has_file(folder, "quant_model_description", ".json");
}

/// Why the weights of a folder that has none of the known files cannot be loaded.
std::string missing_weights(const fs::path& folder, bool has_pickle) {
  if (is_modelslim(folder))
    return say_with(
        "{}: can be planned for and not loaded: msModelSlim's weights "
        "(quant_model_weight*.safetensors) are not in it",
        "{}：可以规划，但无法加载：其中没有 msModelSlim 的权重文件"
        "（quant_model_weight*.safetensors）",
        folder.string());
  if (has_pickle)
    return say_with(
        "{}: can be planned for and not loaded: its weights are pytorch_model.bin, "
        "which has to be converted to safetensors",
        "{}：可以规划，但无法加载：权重是 pytorch_model.bin，需先转换为 safetensors",
        folder.string());
  return say_with(
      "{}: can be planned for and not loaded: there is neither model.safetensors "
      "nor model.safetensors.index.json in it",
      "{}：可以规划，但无法加载：其中既没有 model.safetensors，也没有 "
      "model.safetensors.index.json",
      folder.string());
}

}  // namespace

std::string process_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string model_name(const fs::path& folder) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(folder, error);
  if (error) path = folder;
  if (!path.has_filename()) path = path.parent_path();  // a slash at the end
  constexpr std::string_view kPrefix = "models--";
  const std::string repository = path.parent_path().parent_path().filename().string();
  if (path.parent_path().filename() == "snapshots" && repository.starts_with(kPrefix)) {
    const std::string id = repository.substr(kPrefix.size());
    const std::size_t separator = id.rfind("--");
    return separator == std::string::npos ? id : id.substr(separator + 2);
  }
  std::string name = path.filename().string();
  replace_all(name, "___", ".");  // ModelScope's writing of a dot
  return name;
}

ModelFolder find_model(const std::string& model_path,
                       const std::string& revision,
                       const Environment& environment) {
  const fs::path folder = expand_home(model_path, environment);
  std::error_code error;
  // What exists is meant, even where it is no folder; whoever reads it says so.
  if (fs::exists(folder, error) || !is_model_id(model_path)) return {folder, model_name(folder)};

  check(is_revision(revision),
        fmt::runtime(text("--revision {}: expected a branch, tag or commit such as main",
                          "--revision {}：应为分支、标签或提交，例如 main")),
        revision);
  Search search{model_path, revision, {}};
  const std::string use_model_scope = environment("FASTCHAT_USE_MODELSCOPE");
  const bool model_scope_first = use_model_scope == "True" || use_model_scope == "true";
  std::optional<fs::path> found;
  if (model_scope_first) found = search.model_scope(environment);
  if (!found) found = search.hugging_face(environment);
  if (!found && !model_scope_first) found = search.model_scope(environment);
  if (!found) fail_not_found(search);
  check(fs::exists(*found / "config.json", error),
        fmt::runtime(
            text("{0}: {1} has no config.json: the download is incomplete. To finish it:\n{2}",
                 "{0}：{1} 中没有 config.json，下载不完整。请继续下载：\n{2}")),
        model_path,
        found->string(),
        download_commands(model_path, revision));
  return {*found, model_path.substr(model_path.rfind('/') + 1)};
}

std::string display_name(const ModelOptions& options) {
  if (options.model_path.empty()) return options.shape;
  return options.model_name.empty() ? model_name(options.model_path) : options.model_name;
}

void resolve_model_path(ModelOptions& options) {
  if (options.model_path.empty()) return;
  ModelFolder found = find_model(options.model_path, options.revision);
  options.model_path = found.path.string();
  options.model_name = std::move(found.name);
  require_model_folder(found.path);
}

std::vector<std::string> missing_parts(const fs::path& folder) {
  const auto has = [&](const char* name) {
    std::error_code error;
    return fs::exists(folder / name, error);
  };
  std::vector<std::string> missing;
  if (!has("model.safetensors") && !has("model.safetensors.index.json") &&
      !has_modelslim_weights(folder)) {
    missing.push_back(
        missing_weights(folder, has("pytorch_model.bin") || has("pytorch_model.bin.index.json")));
  }
  if (!has("tokenizer.json") && !has("tokenizer.model") &&
      !(has("vocab.json") && has("merges.txt")))
    missing.push_back(
        say_with("{}: can be planned for and not loaded: it has no tokenizer (tokenizer.json, "
                 "vocab.json with merges.txt, or tokenizer.model)",
                 "{}：可以规划，但无法加载：没有分词器（tokenizer.json、vocab.json 与 merges.txt，"
                 "或 tokenizer.model）",
                 folder.string()));
  return missing;
}

}  // namespace fastchat::serve
