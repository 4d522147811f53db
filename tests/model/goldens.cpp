#include "tests/model/goldens.h"

#include <cstring>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "base/check.h"

namespace fastchat::model {
namespace {

const std::string kFolder = std::string(FASTCHAT_SOURCE_DIR) + "/tests/model/goldens/";

std::string read(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  check(file.good(), "{}{} cannot be read", kFolder, name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const std::string& logits_file() {
  static const std::string kBytes = read("logits.bin");
  return kBytes;
}

Goldens read_goldens() {
  const nlohmann::json json = nlohmann::json::parse(read("goldens.json"));
  Goldens out;
  json.at("max_model_len").get_to(out.max_model_len);
  json.at("positions").get_to(out.positions);
  for (const nlohmann::json& entry : json.at("cases")) {
    Golden& golden = out.cases.emplace_back();
    entry.at("name").get_to(golden.name);
    golden.config = parse_model_config(entry.at("config"), golden.name);
    entry.at("prompt").get_to(golden.prompt);
    entry.at("greedy").get_to(golden.greedy);
    entry.at("inverse_frequencies").get_to(golden.inverse_frequencies);
    entry.at("attention_scale").get_to(golden.attention_scale);
    for (const auto& [dtype, offset] : entry.at("logits_offset").items())
      golden.logits_offset[device::parse_float_dtype(dtype).value()] = offset.get<std::size_t>();
  }
  for (const nlohmann::json& entry : json.at("rope")) {
    RopeGolden& golden = out.rope.emplace_back();
    entry.at("name").get_to(golden.name);
    golden.config = parse_model_config(entry.at("config"), golden.name);
    entry.at("max_model_len").get_to(golden.max_model_len);
    entry.at("inverse_frequencies").get_to(golden.inverse_frequencies);
    entry.at("attention_scale").get_to(golden.attention_scale);
  }
  return out;
}

}  // namespace

const Goldens& goldens() {
  static const Goldens kGoldens = read_goldens();
  return kGoldens;
}

std::vector<float> Golden::logits(device::DType dtype) const {
  const std::size_t offset = logits_offset.at(dtype);
  std::vector<float> out(goldens().positions.size() * static_cast<std::size_t>(config.vocab_size));
  const std::size_t size_bytes = out.size() * sizeof(float);
  check(offset + size_bytes <= logits_file().size(), "{}: the file of logits is too short", name);
  std::memcpy(out.data(), logits_file().data() + offset, size_bytes);
  return out;
}

}  // namespace fastchat::model
