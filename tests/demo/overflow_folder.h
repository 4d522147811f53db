// The demo model with one projection made so large that its output leaves the range of f16, for
// tests of what is done then.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

namespace fastchat::demo_test {

class OverflowFolder {
 public:
  static constexpr int kLayer = 2;

  OverflowFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("fastchat_overflow_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
    const std::filesystem::path demo = FASTCHAT_SOURCE_DIR "/models/demo";
    for (const auto& entry : std::filesystem::directory_iterator(demo))
      if (entry.is_regular_file() && entry.path().extension() != ".safetensors")
        std::filesystem::copy_file(entry.path(), path_ / entry.path().filename());
    std::ifstream in(demo / "model.safetensors", std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
    const auto header = nlohmann::json::parse(bytes.substr(8, header_bytes));
    const auto& tensor =
        header.at("model.layers." + std::to_string(kLayer) + ".mlp.up_proj.weight");
    EXPECT_EQ(tensor.at("dtype"), "BF16");
    const std::uint64_t data = 8 + header_bytes;
    for (std::uint64_t at = data + tensor.at("data_offsets")[0].get<std::uint64_t>();
         at < data + tensor.at("data_offsets")[1].get<std::uint64_t>();
         at += 2) {
      std::uint16_t element = 0;
      std::memcpy(&element, bytes.data() + at, sizeof element);
      if ((element & 0x7F80u) != 0) element = static_cast<std::uint16_t>(element + (20u << 7));
      std::memcpy(bytes.data() + at, &element, sizeof element);  // times 2^20
    }
    std::ofstream(path_ / "model.safetensors", std::ios::binary) << bytes;
  }
  ~OverflowFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  OverflowFolder(const OverflowFolder&) = delete;
  OverflowFolder& operator=(const OverflowFolder&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace fastchat::demo_test
