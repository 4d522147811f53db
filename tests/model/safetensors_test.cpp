#include "model/safetensors.h"

#include <array>
#include <cstring>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/check.h"
#include "model/weight_source.h"
#include "tests/model/files_and_messages.h"

namespace fastchat::model {
namespace {

std::string file_of(std::string_view header, std::string_view data) {
  std::string out(8, '\0');
  const std::uint64_t length = header.size();
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return out.append(header).append(data);
}

std::string bytes_of(std::initializer_list<float> values) {
  std::string out(values.size() * sizeof(float), '\0');
  std::memcpy(out.data(), values.begin(), out.size());
  return out;
}

// Two tensors that fill 24 bytes.
constexpr std::string_view kHeader = R"({"__metadata__":{"format":"pt"},)"
                                     R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                                     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}})";

std::string read(std::string_view header, std::string_view data) {
  const std::string file = file_of(header, data);
  return failure_of([&] { parse_safetensors_header(file, file.size(), "x.safetensors"); });
}

std::vector<float> floats(const ops::WeightSlice& slice) {
  const auto* data = static_cast<const float*>(slice.data);
  return {data, data + slice.rows * slice.columns};
}

TEST(Safetensors, ReadsTensorsInPlace) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_of(kHeader, bytes_of({1, 2, 3, 4, 5, 6})));
  const auto source = open_safetensors(folder.path());
  EXPECT_EQ(source->total_bytes(), 24u);
  EXPECT_TRUE(source->has("a"));
  EXPECT_FALSE(source->has("c"));
  const ops::WeightSlice a = source->get("a", std::array<std::int64_t, 2>{2, 2});
  EXPECT_EQ(a.rows, 2);
  EXPECT_EQ(a.columns, 2);
  EXPECT_EQ(a.row_stride, 2);
  EXPECT_EQ(floats(a), (std::vector<float>{1, 2, 3, 4}));
  const ops::WeightSlice b = source->get("b", std::array<std::int64_t, 1>{2});
  EXPECT_EQ(b.rows, 2);
  EXPECT_EQ(b.columns, 1);
  EXPECT_EQ(floats(b), (std::vector<float>{5, 6}));
  // Dropped pages come back from the file.
  source->release("b");
  source->release("a");
  EXPECT_EQ(floats(source->get("a", std::array<std::int64_t, 2>{2, 2})),
            (std::vector<float>{1, 2, 3, 4}));
}

TEST(Safetensors, TensorsThatLieUnalignedAreCopied) {
  const TemporaryFolder folder;
  std::string header(kHeader);
  while ((8 + header.size()) % 4 != 1) header += ' ';
  folder.write("model.safetensors", file_of(header, bytes_of({1, 2, 3, 4, 5, 6})));
  const auto source = open_safetensors(folder.path());
  const ops::WeightSlice b = source->get("b", std::array<std::int64_t, 1>{2});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data) % alignof(float), 0u);
  EXPECT_EQ(floats(b), (std::vector<float>{5, 6}));
  source->release("b");
}

TEST(Safetensors, ShardsAreFoundThroughTheIndexAndThroughLinks) {
  const TemporaryFolder blobs;
  const TemporaryFolder folder;
  blobs.write("blob",
              file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", bytes_of({7})));
  std::filesystem::create_symlink(blobs.path() / "blob",
                                  folder.path() / "model-00001-of-00002.safetensors");
  folder.write("model-00002-of-00002.safetensors",
               file_of(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", bytes_of({8})));
  folder.write("model.safetensors.index.json",
               R"({"metadata":{"total_size":8},"weight_map":{
                 "a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  const auto source = open_safetensors(folder.path());
  EXPECT_EQ(source->total_bytes(), 8u);
  EXPECT_EQ(floats(source->get("a", std::array<std::int64_t, 1>{1})), (std::vector<float>{7}));
  EXPECT_EQ(floats(source->get("b", std::array<std::int64_t, 1>{1})), (std::vector<float>{8}));
}

TEST(Safetensors, IndexDefectsAreNamed) {
  const TemporaryFolder folder;
  const auto error_of = [&](std::string_view index) {
    folder.write("model.safetensors.index.json", index);
    return failure_of([&] { open_safetensors(folder.path()); });
  };
  folder.write("m1.safetensors",
               file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", bytes_of({7})));
  EXPECT_TRUE(says(error_of(R"({"weight_map":{"a":"m1.safetensors","b":"m2.safetensors"}})"),
                   {"index.json", "1 of the 2 files", "(\"m2.safetensors\")", "incomplete"}));
  EXPECT_TRUE(says(error_of(R"({"weight_map":{"a":"m3.safetensors","b":"m2.safetensors"}})"),
                   {"2 of the 2 files", "(\"m2.safetensors\", \"m3.safetensors\")"}));
  EXPECT_TRUE(says(error_of(R"({"weight_map":{"a":"m1.safetensors","b":"m1.safetensors"}})"),
                   {"tensor \"b\"", "m1.safetensors"}));
  EXPECT_TRUE(
      says(error_of(R"({"weight_map":{"a":"../m1.safetensors"}})"), {"a file in the same folder"}));
  EXPECT_TRUE(says(error_of(R"({"weight_map":{"a":".."}})"), {"a file in the same folder"}));
  EXPECT_TRUE(says(error_of(R"({"weight_map":{"a":1}})"), {"a file in the same folder"}));
  EXPECT_TRUE(says(error_of(R"({"weight_map":[]})"), {"\"weight_map\": expected"}));
  EXPECT_TRUE(says(error_of(R"({})"), {"\"weight_map\": expected"}));
  EXPECT_TRUE(says(error_of("{"), {"expected JSON"}));
}

TEST(Safetensors, GetNamesFileTensorExpectedAndFound) {
  const TemporaryFolder folder;
  folder.write("model.safetensors",
               file_of(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                       R"("i":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}})",
                       std::string(24, '\0')));
  const auto source = open_safetensors(folder.path());
  EXPECT_TRUE(says(failure_of([&] {
                     source->get("lm_head.weight", std::array<std::int64_t, 2>{8, 2});
                   }),
                   {folder.path().string(), "\"lm_head.weight\"", "[8, 2]", "found no tensor"}));
  EXPECT_TRUE(says(failure_of([&] {
                     source->get("a", std::array<std::int64_t, 2>{2, 3});
                   }),
                   {"model.safetensors", "expected shape [2, 3]", "found [2, 2]"}));
  EXPECT_TRUE(says(failure_of([&] { source->get("a", std::array<std::int64_t, 1>{4}); }),
                   {"found [2, 2]"}));
  EXPECT_TRUE(says(failure_of([&] { source->get("i", std::array<std::int64_t, 1>{1}); }),
                   {"expected F32, F16 or BF16", "found I64"}));
}

TEST(Safetensors, FileThatShrankIsRefusedInsteadOfRead) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_of(kHeader, bytes_of({1, 2, 3, 4, 5, 6})));
  const auto source = open_safetensors(folder.path());
  std::filesystem::resize_file(folder.path() / "model.safetensors", 16);
  EXPECT_TRUE(says(failure_of([&] {
                     source->get("a", std::array<std::int64_t, 2>{2, 2});
                   }),
                   {"shrank"}));
}

TEST(Safetensors, FoldersWithoutSafetensorsSayWhatToDo) {
  const TemporaryFolder folder;
  const auto error = [&] { return failure_of([&] { open_safetensors(folder.path()); }); };
  EXPECT_TRUE(says(error(), {"found neither"}));
  folder.write("pytorch_model.bin", "");
  EXPECT_TRUE(says(error(), {"pytorch_model.bin", "save_pretrained"}));
}

TEST(SafetensorsHeader, ZeroSizedTensorsAndSubByteTypesAreFine) {
  const std::string file = file_of(R"({"e":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
                                   R"("q":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},)"
                                   R"("s":{"dtype":"BF16","shape":[],"data_offsets":[2,4]}}   )",
                                   "abcd");
  const SafetensorsHeader header = parse_safetensors_header(file, file.size(), "x");
  EXPECT_EQ(header.size(), 3u);
  EXPECT_EQ(header.at("s").end, file.size());
}

TEST(SafetensorsHeader, HostileHeadersAreRefused) {
  const std::string data(24, '\0');
  const auto tensor = [](std::string_view fields) {
    return fmt::format(R"({{"a":{{{}}}}})", fields);
  };
  const std::string deep = std::string(100'000, '[');
  struct Case {
    std::string header;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"[]", "starts with {"},
      {" {}", "starts with {"},
      {"{", "not JSON"},
      {"{}x", "not JSON"},
      {"{\"a\":{\"dtype\":\"F32\xff\"}}", "not JSON"},
      {"{}", "expected 0 bytes of tensors, found 24"},
      {R"({"a":1})", "tensor \"a\": expected an object, found the number 1"},
      {R"({"a":null})", "found null"},
      {R"({"a":)" + deep, "found an array"},
      {R"({"a":{"dtype":)" + deep, "found an array"},
      {R"({"a":{"shape":)" + deep, "found an array"},
      {R"({"a":{"b":{"c":1}}})", "found an object"},
      {R"({"__metadata__":{"a":{"b":1}}})", "found an object"},
      {R"({"__metadata__":{"a":1}})", "__metadata__ \"a\": expected a string"},
      {R"({"__metadata__":{},"__metadata__":{}})", "\"__metadata__\" occurs twice"},
      {tensor(R"("dtype":"F32","shape":[6])"), "expected \"data_offsets\", found nothing"},
      {tensor(R"("dtype":"F32","data_offsets":[0,24])"), "expected \"shape\", found nothing"},
      {tensor(R"("shape":[6],"data_offsets":[0,24])"), "expected \"dtype\", found nothing"},
      {tensor(R"("dtype":"F32","shape":[6],"data_offsets":[0])"),
       "expected 2 data_offsets, found 1"},
      {tensor(R"("dtype":"F32","shape":[6],"data_offsets":[0,24,30])"), "found the number 30"},
      {tensor(R"("dtype":"F32","shape":[-6],"data_offsets":[0,24])"), "found the number -6"},
      {tensor(R"("dtype":"F32","shape":[6.0],"data_offsets":[0,24])"), "found the number 6.0"},
      {tensor(R"("dtype":"F32","shape":["6"],"data_offsets":[0,24])"), "found a string"},
      {tensor(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,6],"data_offsets":[0,24])"),
       "shape as up to 8 sizes"},
      {tensor(R"("dtype":"F32","dtype":"F16","shape":[6],"data_offsets":[0,24])"),
       "\"dtype\" occurs twice"},
      {tensor(R"("dtype":"FLOAT","shape":[6],"data_offsets":[0,24])"), "dtype \"FLOAT\" is not"},
      {tensor(R"("dtype":"F32","shape":[5],"data_offsets":[0,24])"),
       "expected the bytes of F32[5]"},
      {tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), "expected the bytes of F4[3]"},
      {tensor(R"("dtype":"F32","shape":[6],"data_offsets":[24,0])"), "found offsets 24 to 0"},
      // 2^32 * 2^32 elements: the product of sizes is 0 modulo 2^64.
      {tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"),
       "expected the bytes of"},
      {tensor(R"("dtype":"F32","shape":[8],"data_offsets":[0,32])"), "truncated"},
      {tensor(R"("dtype":"U8","shape":[24],"data_offsets":[18446744073709551600,8])"),
       "expected the bytes of"},
      {R"({"a":{"dtype":"U8","shape":[24],"data_offsets":[0,24]},)"
       R"("a":{"dtype":"U8","shape":[24],"data_offsets":[0,24]}})",
       "\"a\" occurs twice"},
      {R"({"a":{"dtype":"U8","shape":[16],"data_offsets":[0,16]},)"
       R"("b":{"dtype":"U8","shape":[16],"data_offsets":[8,24]}})",
       "overlap"},
      {R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"U8","shape":[8],"data_offsets":[16,24]}})",
       "leave a gap"},
      {tensor(R"("dtype":"U8","shape":[8],"data_offsets":[16,24])"), "leave a gap"},
  };
  for (const Case& hostile : cases)
    EXPECT_TRUE(says(read(hostile.header, data), {"x.safetensors: ", hostile.message}))
        << hostile.header.substr(0, 200);
}

TEST(SafetensorsHeader, LengthsBeyondTheFileAreRefused) {
  const auto error = [](std::uint64_t length, std::uint64_t file_bytes) {
    std::string first(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) first[i] = static_cast<char>(length >> (8 * i) & 0xff);
    return failure_of([&] { safetensors_header_bytes(first, file_bytes, "x"); });
  };
  EXPECT_TRUE(says(error(100, 107), {"truncated"}));
  EXPECT_TRUE(says(error(0, 100), {"found a length of 0"}));
  EXPECT_TRUE(says(error(~std::uint64_t{0}, 100), {"found a length of 18446744073709551615"}));
  EXPECT_TRUE(says(error(100'000'001, std::uint64_t{1} << 40), {"found a length"}));
  EXPECT_TRUE(says(failure_of([] { safetensors_header_bytes("abc", 3, "x"); }),
                   {"expected a safetensors file, found 3 B"}));
}

TEST(SafetensorsHeader, ControlCharactersOfNamesDoNotReachTheTerminal) {
  EXPECT_TRUE(says(read(R"({"\u001b[2J":1})", ""), {"tensor \"\\x1b[2J\""}));
}

}  // namespace
}  // namespace fastchat::model
