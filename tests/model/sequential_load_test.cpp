// Loading as from a network file system: each file from front to back, each byte once.
#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "model/weight_source.h"
#include "tests/model/files_and_messages.h"
#include "tests/model/goldens.h"
#include "tests/model/tiny_model.h"

namespace fastchat::model {
namespace {

/// What was read of one file.
struct Reads {
  std::mutex mutex;
  std::vector<int> times;  // per byte
  std::size_t num_reads = 0;
  bool in_order = true;
  std::uint64_t position = 0;
};

class WatchedReader : public FileReader {
 public:
  WatchedReader(std::unique_ptr<FileReader> reader, Reads& reads)
      : reader_(std::move(reader)), reads_(reads) {
    reads_.times.assign(reader_->size_bytes(), 0);
  }
  std::uint64_t size_bytes() override { return reader_->size_bytes(); }
  std::size_t read(std::uint64_t offset, char* buffer, std::size_t count) override {
    const std::size_t got = reader_->read(offset, buffer, count);
    const std::lock_guard lock(reads_.mutex);
    for (std::size_t i = offset; i < offset + got; ++i) ++reads_.times[i];
    ++reads_.num_reads;
    reads_.in_order = reads_.in_order && offset == reads_.position;
    reads_.position = offset + got;
    return got;
  }

 private:
  std::unique_ptr<FileReader> reader_;
  Reads& reads_;
};

class SequentialLoadTest : public testing::Test {
 protected:
  SafetensorsOptions eager() {
    SafetensorsOptions options;
    options.strategy = LoadStrategy::eager;
    options.open = [this](const std::string& path) {
      return std::make_unique<WatchedReader>(
          open_file(path), files_[std::filesystem::path(path).filename().string()]);
    };
    return options;
  }
  void expect_every_byte_once() {
    for (const auto& [name, reads] : files_) {
      EXPECT_EQ(std::accumulate(reads.times.begin(), reads.times.end(), 0),
                static_cast<int>(reads.times.size()))
          << name;
      EXPECT_EQ(*std::max_element(reads.times.begin(), reads.times.end()), 1) << name;
      EXPECT_TRUE(reads.in_order) << name;
    }
  }

  /// A file of f32 tensors: names and numbers of elements; element i of tensor t is 1000 t + i.
  void write_file(const std::string& file,
                  const std::vector<std::pair<std::string, std::int64_t>>& tensors) const {
    std::string header = "{";
    std::string data;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      const std::size_t begin = data.size();
      std::vector<float> values(static_cast<std::size_t>(tensors[t].second));
      std::iota(values.begin(), values.end(), 1000.0f * static_cast<float>(t));
      data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                            t == 0 ? "" : ",",
                            tensors[t].first,
                            tensors[t].second,
                            begin,
                            data.size());
    }
    header += "}";
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
    folder_.write(file, length + header + data);
  }
  static float first_of(WeightSource& source, const std::string& name, std::int64_t count) {
    const ops::WeightSlice slice = source.get(name, std::array{count});
    return *static_cast<const float*>(slice.data);
  }

  TemporaryFolder folder_;
  std::map<std::string, Reads> files_;
};

TEST_F(SequentialLoadTest, TensorsInAnyOrderCostEachByteOnce) {
  // The first one is longer than a read; an empty one lies between.
  write_file("model.safetensors", {{"a", 5'000'000}, {"b", 3}, {"e", 0}, {"c", 500'000}});
  const auto source = open_safetensors(folder_.path(), eager());
  EXPECT_EQ(first_of(*source, "c", 500'000), 3000.0f);
  EXPECT_EQ(first_of(*source, "a", 5'000'000), 0.0f);
  const ops::WeightSlice a = source->get("a", std::array<std::int64_t, 1>{5'000'000});
  EXPECT_EQ(static_cast<const float*>(a.data)[4'999'999], 4'999'999.0f);
  EXPECT_EQ(first_of(*source, "b", 3), 1000.0f);
  EXPECT_NE(source->get("e", std::array<std::int64_t, 1>{0}).data, nullptr);
  expect_every_byte_once();
  // Header and its length, then pieces of 16 MiB.
  EXPECT_EQ(files_["model.safetensors"].num_reads, 2 + 2u);
}

TEST_F(SequentialLoadTest, ReadsNoFurtherThanAPieceBeyondWhatIsAskedFor) {
  write_file("model.safetensors", {{"a", 4}, {"b", 10'000'000}});
  const auto source = open_safetensors(folder_.path(), eager());
  EXPECT_EQ(first_of(*source, "a", 4), 0.0f);
  EXPECT_EQ(files_["model.safetensors"].num_reads, 2 + 1u);
}

TEST_F(SequentialLoadTest, TensorsAreKeptForAsManyUsesAsAreAnnounced) {
  write_file("model.safetensors", {{"tied", 8}, {"once", 8}});
  SafetensorsOptions options = eager();
  options.num_uses = [](std::string_view name) { return name == "tied" ? 2 : 1; };
  const auto source = open_safetensors(folder_.path(), options);
  for (int use = 0; use < 2; ++use) {
    EXPECT_EQ(first_of(*source, "tied", 8), 0.0f);
    source->release("tied");
  }
  EXPECT_EQ(first_of(*source, "once", 8), 1000.0f);
  source->release("once");
  expect_every_byte_once();
  // A use more than announced is right, if slow.
  EXPECT_EQ(first_of(*source, "once", 8), 1000.0f);
  EXPECT_EQ(files_["model.safetensors"].times.back(), 2);
  EXPECT_EQ(files_["model.safetensors"].times[8], 1);
}

TEST_F(SequentialLoadTest, ThreadsShareWhatTheyRead) {
  std::vector<std::pair<std::string, std::int64_t>> tensors;
  for (int i = 0; i < 64; ++i) tensors.emplace_back(fmt::format("t{:02}", i), 100'003);
  write_file("model.safetensors", tensors);
  const auto source = open_safetensors(folder_.path(), eager());
  std::atomic<int> num_right = 0;
  std::vector<std::thread> threads;
  for (std::size_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      for (std::size_t i = 0; i < 16; ++i) {
        const std::size_t t = first * 16 + 15 - i;
        const float value = first_of(*source, tensors[t].first, tensors[t].second);
        if (value == 1000.0f * static_cast<float>(t)) ++num_right;
        source->release(tensors[t].first);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_right, 64);
  expect_every_byte_once();
}

TEST_F(SequentialLoadTest, NetworkFileSystemsChooseItAndTheFlagOverrides) {
  write_file("model.safetensors", {{"a", 4}});
  SafetensorsOptions options = eager();
  const auto num_files_read = [&] {
    files_.clear();
    const auto source = open_safetensors(folder_.path(), options);
    EXPECT_EQ(first_of(*source, "a", 4), 0.0f);
    return files_.size();
  };
  std::string_view kind = "nfs";
  options.network = [&](const std::string&) { return kind; };
  options.strategy = LoadStrategy::automatic;
  EXPECT_EQ(num_files_read(), 1u);
  kind = {};
  EXPECT_EQ(num_files_read(), 0u) << "mapped";
  options.strategy = LoadStrategy::eager;
  EXPECT_EQ(num_files_read(), 1u);
  kind = "nfs";
  options.strategy = LoadStrategy::lazy;
  EXPECT_EQ(num_files_read(), 0u);
}

TEST(NetworkFileSystem, IsKnownByItsNumber) {
  EXPECT_EQ(network_file_system(0x6969u), "nfs");
  EXPECT_EQ(network_file_system(0x65735546u), "fuse");
  EXPECT_EQ(network_file_system(0xFF534D42u), "cifs");
  EXPECT_EQ(network_file_system(0xEF53u), "") << "ext4";
  EXPECT_EQ(network_file_system(0x01021994u), "") << "tmpfs";
  EXPECT_EQ(network_file_system("/proc"), "");
  EXPECT_EQ(network_file_system("/no/such/path"), "");
}

TEST_F(SequentialLoadTest, FileThatShrankIsRefused) {
  write_file("model.safetensors", {{"a", 4}, {"b", 4}});
  const auto source = open_safetensors(folder_.path(), eager());
  std::filesystem::resize_file(
      folder_.path() / "model.safetensors",
      std::filesystem::file_size(folder_.path() / "model.safetensors") - 8);
  EXPECT_TRUE(
      says(failure_of([&] { first_of(*source, "b", 4); }), {"model.safetensors", "shrank"}));
  folder_.write("model.safetensors", "short");
  EXPECT_TRUE(says(failure_of([&] { open_safetensors(folder_.path(), eager()); }),
                   {"expected a safetensors file, found 5 B"}));
}

/// Tensors as a stage asks for them are recorded, to be written to files.
class RecordingWeights : public WeightSource {
 public:
  bool has(std::string_view) const override { return true; }
  ops::WeightSlice get(std::string_view name, std::span<const std::int64_t> shape) override {
    const ops::WeightSlice slice = source_->get(name, shape);
    const auto bytes = static_cast<std::size_t>(slice.rows * slice.columns) * sizeof(float);
    tensors[std::string(name)] = {{shape.begin(), shape.end()},
                                  {static_cast<const char*>(slice.data), bytes}};
    return slice;
  }
  void release(std::string_view name) override { source_->release(name); }
  std::uint64_t total_bytes() const override { return 0; }

  std::map<std::string, std::pair<std::vector<std::int64_t>, std::string>> tensors;

 private:
  std::unique_ptr<WeightSource> source_ = dummy_weights(device::DType::f32);
};

TEST_F(SequentialLoadTest, StagesOfATiedModelReadEveryFileOnce) {
  const Golden* tied = nullptr;
  for (const Golden& golden : goldens().cases)
    if (golden.config.tie_word_embeddings) tied = &golden;
  ASSERT_NE(tied, nullptr);
  RecordingWeights recorded;
  TinyModelOptions options;
  options.weights = &recorded;
  { const TinyModel loaded(tied->config, options); }  // records

  // Two files of alternate tensors: no stage finds its own in one piece.
  std::array<std::string, 2> headers;
  std::array<std::string, 2> data;
  std::string map;
  std::size_t index = 0;
  for (const auto& [name, tensor] : recorded.tensors) {
    const std::size_t file = index++ % 2;
    const std::size_t begin = data[file].size();
    data[file] += tensor.second;
    headers[file] += fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                                 headers[file].empty() ? "" : ",",
                                 name,
                                 fmt::format("[{}]", fmt::join(tensor.first, ",")),
                                 begin,
                                 data[file].size());
    map += fmt::format(R"({}"{}":"m{}.safetensors")", map.empty() ? "" : ",", name, file);
  }
  for (std::size_t file = 0; file < 2; ++file) {
    const std::string header = "{" + headers[file] + "}";
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
    folder_.write(fmt::format("m{}.safetensors", file), length + header + data[file]);
  }
  folder_.write("model.safetensors.index.json", R"({"weight_map":{)" + map + "}}");

  for (const int num_stages : {1, 3}) {
    files_.clear();
    SafetensorsOptions files = eager();
    files.num_uses = [](std::string_view name) {
      return name == "model.embed_tokens.weight" ? 2 : 1;
    };
    const auto source = open_safetensors(folder_.path(), files);
    options.weights = source.get();
    options.num_stages = num_stages;
    TinyModel model(tied->config, options);
    EXPECT_EQ(files_.size(), 2u);
    expect_every_byte_once();
    EXPECT_EQ(model.step({{.tokens = tied->prompt, .logits_of = {39}}}),
              TinyModel(tied->config, {}).step({{.tokens = tied->prompt, .logits_of = {39}}}));
  }
}

}  // namespace
}  // namespace fastchat::model
