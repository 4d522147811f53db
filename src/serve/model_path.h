// --model-path: a folder, or a model's id whose files lie in a local cache of Hugging Face or
// ModelScope.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fastchat::serve {

struct ModelOptions;

/// The value of an environment variable, empty when it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string process_environment(const char* name);

struct ModelFolder {
  std::filesystem::path path;
  std::string name;  // what people call the model: "Qwen2-7B-Instruct"
};

/// A folder is taken as it is. "Qwen/Qwen2-7B-Instruct" and the like are looked up where the
/// libraries of Hugging Face (HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
/// ~/.cache) and ModelScope (MODELSCOPE_CACHE, ~/.cache) keep what they download; ModelScope first
/// where FASTCHAT_USE_MODELSCOPE is true, as in FastChat. `revision` is a branch, tag or commit of
/// Hugging Face's cache; ModelScope's keeps one version and is asked for "main" only. Never touches
/// the network.
/// Throws Failure naming the places searched and the commands that download.
ModelFolder find_model(const std::string& model_path,
                       const std::string& revision,
                       const Environment& environment = process_environment);

/// What people call a model by its folder: the last part of the path; for a folder inside of a
/// cache, the model's name there.
std::string model_name(const std::filesystem::path& folder);

/// The name of the model that the flags choose: its own, or the shape's.
std::string display_name(const ModelOptions& options);

/// find_model for the flags: --model-path becomes a folder, and the name is kept. Nothing happens
/// without --model-path. Throws Failure where that is no model's folder.
void resolve_model_path(ModelOptions& options);

/// Why a model's folder cannot be loaded although its config.json can be planned for: a sentence
/// for missing weights, one for a missing tokenizer.
std::vector<std::string> missing_parts(const std::filesystem::path& folder);

}  // namespace fastchat::serve
