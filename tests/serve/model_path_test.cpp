// Model ids in caches as the libraries of Hugging Face and ModelScope write them.
#include "serve/model_path.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"

namespace fastchat::serve {
namespace {

namespace fs = std::filesystem;

class ModelPathTest : public testing::Test {
 protected:
  ModelPathTest() {
    root_ = fs::temp_directory_path() /
            fmt::format("fastchat-model-path-{}-{}",
                        ::getpid(),
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_);
    variables_["HOME"] = (root_ / "home").string();
  }
  ~ModelPathTest() override {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  fs::path write(const fs::path& file, const std::string& content = "{}") const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << content;
    return (root_ / file).parent_path();
  }
  ModelFolder find(const std::string& id, const std::string& revision = "main") const {
    return find_model(id, revision, [this](const char* name) {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::string() : found->second;
    });
  }
  std::string error_of(const std::string& id, const std::string& revision = "main") const {
    try {
      return "found " + find(id, revision).path.string();
    } catch (const Failure& failure) {
      return failure.what();
    }
  }
  static bool says(const std::string& message, std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts) {
      if (message.find(part) != std::string::npos) continue;
      ADD_FAILURE() << part << " is not in: " << message;
      return false;
    }
    return true;
  }

  fs::path root_;
  std::map<std::string, std::string> variables_;
};

constexpr const char* kHub = "home/.cache/huggingface/hub/models--Qwen--Qwen2.5-7B-Instruct";

TEST_F(ModelPathTest, FolderIsTakenAsItIs) {
  const fs::path folder = write("My-Model/config.json");
  EXPECT_EQ(find(folder.string()).path, folder);
  EXPECT_EQ(find(folder.string()).name, "My-Model");
  EXPECT_EQ(find(folder.string() + "/").name, "My-Model");
  // No id, so left to whoever reads it.
  EXPECT_EQ(find("/no/such/folder").path, "/no/such/folder");
  EXPECT_EQ(find("./model").path, "./model");
  EXPECT_EQ(find("a/b/c").path, "a/b/c");
  EXPECT_EQ(find("../model").path, "../model");
  write("home/models/x/config.json");
  EXPECT_EQ(find("~/models/x").path, root_ / "home/models/x");
}

TEST_F(ModelPathTest, HuggingFaceRefNamesTheSnapshot) {
  const fs::path old_snapshot = write(fs::path(kHub) / "snapshots/aaa/config.json");
  const fs::path snapshot = write(fs::path(kHub) / "snapshots/bbb/config.json");
  write(fs::path(kHub) / "refs/main", "bbb");
  write(fs::path(kHub) / "refs/v1.0", "aaa");
  write(fs::path(kHub) / "refs/refs/pr/3", "aaa\n");
  fs::last_write_time(old_snapshot, fs::file_time_type::clock::now() + std::chrono::hours(1));
  const ModelFolder found = find("Qwen/Qwen2.5-7B-Instruct");
  EXPECT_EQ(found.path, snapshot);
  EXPECT_EQ(found.name, "Qwen2.5-7B-Instruct");
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct", "v1.0").path, old_snapshot);
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct", "refs/pr/3").path, old_snapshot);
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct", "aaa").path, old_snapshot);
  EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct", "v2"), {"(revision v2)", "--revision v2"}));
  // The folder of a snapshot has the model's name as well.
  EXPECT_EQ(find(snapshot.string()).name, "Qwen2.5-7B-Instruct");
}

TEST_F(ModelPathTest, CacheWithoutRefsGivesTheLatestSnapshot) {
  const fs::path early = write(fs::path(kHub) / "snapshots/zzz/config.json");
  const fs::path late = write(fs::path(kHub) / "snapshots/aaa/config.json");
  fs::last_write_time(early, fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct").path, late);
  EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct", "v2"), {"(revision v2)"}));
}

TEST_F(ModelPathTest, EnvironmentMovesTheHuggingFaceCache) {
  const std::pair<const char*, const char*> moved[] = {{"XDG_CACHE_HOME", "huggingface/hub"},
                                                       {"HF_HOME", "hub"},
                                                       {"HUGGINGFACE_HUB_CACHE", ""},
                                                       {"HF_HUB_CACHE", ""}};
  for (const auto& [variable, below] : moved) {  // each overrides those before
    variables_[variable] = (root_ / variable).string();
    const fs::path snapshot =
        write(fs::path(variable) / below / "models--gpt2/snapshots/c0ffee/config.json");
    EXPECT_EQ(find("gpt2").path, snapshot) << variable;
  }
  variables_["HF_HUB_CACHE"] = "~/elsewhere";
  const fs::path snapshot = write("home/elsewhere/models--gpt2/snapshots/1/config.json");
  EXPECT_EQ(find("gpt2").path, snapshot);
}

TEST_F(ModelPathTest, ModelScopeNamesAreMangled) {
  const fs::path in_models =
      write("home/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B-Instruct/config.json");
  const ModelFolder found = find("Qwen/Qwen2.5-7B-Instruct");
  EXPECT_EQ(found.path, in_models);
  EXPECT_EQ(found.name, "Qwen2.5-7B-Instruct");
  EXPECT_EQ(find(in_models.string()).name, "Qwen2.5-7B-Instruct");

  const fs::path directly = write("home/.cache/modelscope/hub/qwen/Qwen2-7B/config.json");
  EXPECT_EQ(find("qwen/Qwen2-7B").path, directly);

  variables_["MODELSCOPE_CACHE"] = (root_ / "scope").string();
  for (const char* below : {"hub", "hub/models", "", "models"}) {
    const std::string id = fmt::format("org/model-{}", std::string_view(below).size());
    const fs::path folder = write(fs::path("scope") / below / id / "config.json");
    EXPECT_EQ(find(id).path, folder) << below;
  }
}

TEST_F(ModelPathTest, ModelScopeComesFirstWhenAskedFor) {
  const fs::path hugging = write(fs::path(kHub) / "snapshots/aaa/config.json");
  const fs::path scope =
      write("home/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B-Instruct/config.json");
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct").path, hugging);
  variables_["FASTCHAT_USE_MODELSCOPE"] = "True";
  EXPECT_EQ(find("Qwen/Qwen2.5-7B-Instruct").path, scope);
}

TEST_F(ModelPathTest, WhatIsNowhereIsAnErrorThatSaysWhereAndHow) {
  EXPECT_TRUE(
      says(error_of("Qwen/Qwen2.5-7B-Instruct"),
           {"Qwen/Qwen2.5-7B-Instruct",
            (root_ / kHub).string(),
            (root_ / "home/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B-Instruct").string(),
            "huggingface-cli download Qwen/Qwen2.5-7B-Instruct\n",
            "modelscope download --model Qwen/Qwen2.5-7B-Instruct"}));
}

TEST_F(ModelPathTest, SnapshotWithoutConfigIsIncomplete) {
  write(fs::path(kHub) / "snapshots/aaa/tokenizer.json");
  EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct"),
                   {"snapshots/aaa has no config.json", "incomplete", "huggingface-cli download"}));
  // As an interrupted download leaves it: a link to nothing.
  fs::create_symlink("../../blobs/gone", root_ / kHub / "snapshots/aaa/config.json");
  EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct"), {"has no config.json"}));
}

TEST_F(ModelPathTest, RevisionsDoNotLeaveTheCache) {
  write("home/.cache/huggingface/hub/secret/config.json");
  for (const char* revision : {"../../secret", "/etc", "", ".", "a/../.."})
    EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct", revision), {"--revision"})) << revision;
  write(fs::path(kHub) / "refs/main", "../../secret");
  EXPECT_TRUE(says(error_of("Qwen/Qwen2.5-7B-Instruct"), {"Searched"}));
}

}  // namespace
}  // namespace fastchat::serve
