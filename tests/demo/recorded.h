// Greedy answers of the demo model as this program gave them on x86, in goldens/answers.json.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace fastchat::demo_test {

inline const std::string kDtypes[] = {"float32", "bfloat16", "float16"};

struct RecordedAnswer {
  std::vector<std::int32_t> tokens;
  std::string text;
};

struct Recorded {
  std::vector<std::vector<std::int32_t>> prompts;               // of some held-out conversations
  std::map<std::string, std::vector<RecordedAnswer>> by_dtype;  // one answer per prompt
};

/// Throws when there is no readable file.
Recorded read_recorded();
void write_recorded(const Recorded& recorded);

/// FASTCHAT_RECORD=1 asks the tests to write what they get, after the model has changed. On x86.
bool is_recording();

}  // namespace fastchat::demo_test
