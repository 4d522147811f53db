#include "tests/demo/recorded.h"

#include <cstdlib>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fastchat::demo_test {
namespace {

using nlohmann::json;

constexpr const char* kFile = FASTCHAT_SOURCE_DIR "/tests/demo/goldens/answers.json";

}  // namespace

Recorded read_recorded() {
  std::ifstream file(kFile);
  const json read = json::parse(file);
  Recorded recorded;
  recorded.prompts = read.at("prompts").get<std::vector<std::vector<std::int32_t>>>();
  for (const auto& [dtype, answers] : read.at("answers").items())
    for (const json& answer : answers)
      recorded.by_dtype[dtype].push_back(
          {.tokens = answer.at("tokens").get<std::vector<std::int32_t>>(),
           .text = answer.at("text").get<std::string>()});
  return recorded;
}

// A line per prompt and answer, so that differences can be read.
void write_recorded(const Recorded& recorded) {
  std::string text = "{\"prompts\": [\n";
  for (const auto& prompt : recorded.prompts)
    text +=
        fmt::format("{}{}", json(prompt).dump(), &prompt == &recorded.prompts.back() ? "" : ",\n");
  text += "],\n\"answers\": {";
  std::string separator = "\n";
  for (const auto& [dtype, answers] : recorded.by_dtype) {
    text += fmt::format("{}\"{}\": [\n", separator, dtype);
    for (const RecordedAnswer& answer : answers)
      text += fmt::format("{}{}",
                          json{{"tokens", answer.tokens}, {"text", answer.text}}.dump(),
                          &answer == &answers.back() ? "]" : ",\n");
    separator = ",\n";
  }
  std::ofstream(kFile) << text << "}}\n";
}

bool is_recording() {
  const char* const value = std::getenv("FASTCHAT_RECORD");
  return value != nullptr && *value != '\0';
}

}  // namespace fastchat::demo_test
