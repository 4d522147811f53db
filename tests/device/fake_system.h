// A folder that stands for "/": the files of /proc and /sys that a test describes.
#pragma once

#include <unistd.h>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace fastchat::test {

class FakeSystem {
 public:
  FakeSystem() : root_(testing::TempDir() + "/fastchat-system-XXXXXX") {
    if (mkdtemp(root_.data()) == nullptr) ADD_FAILURE() << "no temporary folder at " << root_;
  }
  ~FakeSystem() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  FakeSystem(const FakeSystem&) = delete;
  FakeSystem& operator=(const FakeSystem&) = delete;

  const std::string& root() const { return root_; }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

 private:
  std::string root_;
};

}  // namespace fastchat::test
