// The demo model's held-out prompts, and how they are put to it.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "serve/model_instance.h"

namespace fastchat::demo_test {

struct HeldOut {
  std::string category;
  nlohmann::json messages;
  std::vector<std::string> accept;    // the whole answer is one of these
  std::vector<std::string> contains;  // or holds all of these
};

inline std::vector<HeldOut> read_held_out() {
  std::ifstream file(FASTCHAT_SOURCE_DIR "/models/demo/heldout.jsonl");
  std::vector<HeldOut> items;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json item = nlohmann::json::parse(line);
    items.push_back({.category = item.at("category"),
                     .messages = item.at("messages"),
                     .accept = item.value("accept", std::vector<std::string>{}),
                     .contains = item.value("contains", std::vector<std::string>{})});
  }
  return items;
}

inline std::vector<std::int32_t> prompt_tokens(const serve::ModelInstance& model,
                                               const nlohmann::json& messages) {
  const Result<std::string> prompt =
      model.chat_template()->render(messages, {.add_generation_prompt = true});
  EXPECT_TRUE(prompt) << prompt.error().message;
  const auto tokens = model.tokenizer()->encode(prompt.value(), false);
  EXPECT_TRUE(tokens) << tokens.error().message;
  return tokens.value();
}

}  // namespace fastchat::demo_test
