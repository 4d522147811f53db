// The way of an answer from the engine's tokens to the terminal's text, with a real engine and
// scripted tokens.
#include "serve/cli/engine_backend.h"

#include <chrono>
#include <deque>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "serve/cli/utf8.h"

namespace fastchat::serve {
namespace {

using engine::FinishReason;

constexpr std::int32_t kEnd = 256;  // the model's end token; ids below are bytes
constexpr std::int32_t kBos = 257;

/// Samples the bytes of `answer` one by one, then kEnd; then from the start for the next request.
class SayingExecutor : public engine::StepExecutor {
 public:
  std::string answer;
  std::string error;
  std::chrono::milliseconds step_time{0};

  void submit(engine::StepInput input) override { steps_.push_back(std::move(input)); }
  engine::StepOutput wait() override {
    std::this_thread::sleep_for(step_time);
    const engine::StepInput input = std::move(steps_.front());
    steps_.pop_front();
    engine::StepOutput output{.step_id = input.step_id, .error = error};
    for (std::size_t row = 0; row < input.sampling.size(); ++row) {
      const bool ends = next_ == answer.size();
      output.tokens.push_back(ends ? kEnd : static_cast<unsigned char>(answer[next_]));
      next_ = ends ? 0 : next_ + 1;
    }
    output.logprobs.assign(input.logits_rows.size(), 0);
    return output;
  }
  int max_outstanding() const override { return 1; }

 private:
  std::deque<engine::StepInput> steps_;
  std::size_t next_ = 0;
};

/// Every byte is a token, as the byte-level tokenizers of GPT-2 and Qwen2 write them.
/// With `bos`, "<bos>" is token 257 and is put before every text.
text::Tokenizer byte_tokenizer(bool bos = false) {
  nlohmann::json vocab;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool shown =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    std::string name;
    append_utf8(name, shown ? static_cast<char32_t>(byte) : next++);
    vocab[name] = byte;
  }
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}};
  const auto special = [](int id, const char* content) {
    return nlohmann::json{{"id", id},
                          {"content", content},
                          {"special", true},
                          {"normalized", false},
                          {"single_word", false},
                          {"lstrip", false},
                          {"rstrip", false}};
  };
  nlohmann::json added_tokens = {special(kEnd, "<end>")};
  nlohmann::json post_processor;
  if (bos) {
    added_tokens.push_back(special(kBos, "<bos>"));
    const nlohmann::json mark = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
    const nlohmann::json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    post_processor = {
        {"type", "TemplateProcessing"},
        {"single", {mark, text}},
        {"pair", {mark, text}},
        {"special_tokens", {{"<bos>", {{"id", "<bos>"}, {"ids", {kBos}}, {"tokens", {"<bos>"}}}}}}};
  }
  const nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added_tokens},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", post_processor},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  return text::Tokenizer::from_json(tokenizer.dump()).value();
}

constexpr const char* kTemplate =
    "{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no such role') }}{% endif "
    "%}"
    "{{ m.role[0] }}{{ m.content }}|{% endfor %}";

class Backend : public ::testing::Test {
 protected:
  static engine::SchedulerConfig config() {
    engine::SchedulerConfig config;
    config.num_blocks = 16;
    config.block_size = 4;
    config.max_model_len = 64;
    config.max_num_batched_tokens = 16;
    config.vocab_size = 257;
    config.eos_token_ids = {kEnd};
    return config;
  }

  Result<Generation> ask(const std::string& question, const ChatParams& params = {}) {
    turns_.push_back({"user", question});
    said_.clear();
    return backend_.generate(
        turns_,
        params,
        [this](std::string_view piece) { said_ += piece; },
        [this] { return cancelled_; });
  }

  SayingExecutor executor_;
  engine::Engine engine_{config(), executor_};
  text::Tokenizer tokenizer_ = byte_tokenizer();
  text::ChatTemplate template_ = text::ChatTemplate::from_source(kTemplate).value();
  EngineBackend backend_{engine_, tokenizer_, model_prompts(tokenizer_, template_)};
  std::vector<ChatTurn> turns_;
  std::string said_;
  bool cancelled_ = false;
};

TEST_F(Backend, AnswersInWholeCharactersAndCounts) {
  executor_.answer = "你好 ok";
  turns_.push_back({"user", "hi"});
  std::vector<std::string> pieces;
  const Result<Generation> generation = backend_.generate(
      turns_,
      {},
      [&](std::string_view piece) { pieces.emplace_back(piece); },
      [] { return false; });
  ASSERT_TRUE(generation) << generation.error().message;
  std::string joined;
  for (const std::string& piece : pieces) {
    EXPECT_EQ(replace_invalid_utf8(piece), piece) << "half a character";
    joined += piece;
  }
  EXPECT_EQ(joined, "你好 ok");
  EXPECT_EQ(generation->finish_reason, FinishReason::stop);
  EXPECT_EQ(generation->num_prompt_tokens, 4);  // "uhi|"
  EXPECT_FALSE(generation->context_full);
}

TEST(ConversationPrompts, ABosThatTheTemplateWritesIsNotDoubled) {
  const text::Tokenizer tokenizer = byte_tokenizer(/*bos=*/true);
  text::ConversationTemplate conversation = {.name = "test",
                                             .style = text::PromptStyle::add_colon_single,
                                             .system_template = "<bos>{system_message}",
                                             .roles = {"U", "A"},
                                             .sep = "|"};
  const std::vector<ChatTurn> turns = {{"system", "S"}, {"user", "q"}};
  const auto written = conversation_prompts(tokenizer, conversation)(turns);
  ASSERT_TRUE(written) << written.error().message;
  const std::vector<std::int32_t> expected = {kBos, 'S', '|', 'U', ':', ' ', 'q', '|', 'A', ':'};
  EXPECT_EQ(*written, expected);
  // Where the template leaves it out, the tokenizer puts it.
  conversation.system_template = "{system_message}";
  const auto added = conversation_prompts(tokenizer, conversation)(turns);
  ASSERT_TRUE(added) << added.error().message;
  EXPECT_EQ(*added, expected);
}

TEST_F(Backend, StopStringsEndTheAnswerAndAreNotPartOfIt) {
  executor_.answer = "one, STOP two";
  ChatParams params;
  params.stop = {"STOP"};
  const Result<Generation> generation = ask("x", params);
  ASSERT_TRUE(generation);
  EXPECT_EQ(said_, "one, ");
  EXPECT_EQ(generation->finish_reason, FinishReason::stop);
}

TEST_F(Backend, WhatCouldHaveBecomeAStopStringIsSaidAtTheEnd) {
  executor_.answer = "one, STO";
  ChatParams params;
  params.stop = {"STOP"};
  ASSERT_TRUE(ask("x", params));
  EXPECT_EQ(said_, "one, STO");
}

TEST_F(Backend, LimitsOfLengthAndContextAreToldApart) {
  executor_.answer = std::string(200, 'a');
  ChatParams params;
  params.sampling.max_tokens = 5;
  Result<Generation> generation = ask("x", params);
  ASSERT_TRUE(generation);
  EXPECT_EQ(generation->finish_reason, FinishReason::length);
  EXPECT_EQ(said_, "aaaaa");
  EXPECT_FALSE(generation->context_full);

  params.sampling.max_tokens = 512;
  generation = ask("y", params);
  ASSERT_TRUE(generation);
  EXPECT_EQ(generation->finish_reason, FinishReason::length);
  EXPECT_TRUE(generation->context_full);
  EXPECT_EQ(generation->num_prompt_tokens + generation->num_output_tokens, 64);
}

TEST_F(Backend, AConversationLongerThanTheContextIsAnErrorInNumbers) {
  const Result<Generation> generation = ask(std::string(100, 'q'));
  ASSERT_FALSE(generation);
  EXPECT_EQ(generation.error().code, ErrorCode::context_too_long);
  EXPECT_NE(generation.error().message.find("102"), std::string::npos)
      << generation.error().message;
  EXPECT_NE(generation.error().message.find("64"), std::string::npos) << generation.error().message;
}

TEST_F(Backend, AnAnswerMayNotEndInMidSentenceWhenThatIsJudged) {
  executor_.answer = "so it";  // ends there, and says it again when the end is not accepted
  ChatParams params;
  params.judge_sent_end = true;
  params.sampling.max_tokens = 12;
  const Result<Generation> generation = ask("why?", params);
  ASSERT_TRUE(generation) << generation.error().message;
  EXPECT_EQ(said_, "so itso itso");
  EXPECT_EQ(generation->finish_reason, FinishReason::length);
  EXPECT_EQ(generation->num_output_tokens, 12);
  EXPECT_EQ(generation->num_prompt_tokens, 6);  // "uwhy?|"
}

TEST_F(Backend, AnEndOfASentenceIsAcceptedWhenThatIsJudged) {
  ChatParams params;
  params.judge_sent_end = true;
  for (const char* answer : {"done.", "好了。", "he said \"no\"", "yes!\n"}) {
    executor_.answer = answer;
    turns_.clear();
    ASSERT_TRUE(ask("x", params));
    EXPECT_EQ(said_, answer);
  }
}

TEST_F(Backend, WhatTheTemplateRefusesIsItsMessage) {
  turns_.push_back({"bad", ""});
  const Result<Generation> generation = ask("x");
  ASSERT_FALSE(generation);
  EXPECT_NE(generation.error().message.find("no such role"), std::string::npos);
}

TEST_F(Backend, ATurnThatGoesOnFindsTheEarlierOnesInTheCache) {
  executor_.answer = "yes";
  ASSERT_TRUE(ask("a question that fills blocks"));
  turns_.push_back({"assistant", said_});
  const Result<Generation> generation = ask("and?");
  ASSERT_TRUE(generation);
  EXPECT_GE(generation->num_cached_tokens, 28);
  EXPECT_EQ(said_, "yes");
}

TEST_F(Backend, CancellingKeepsWhatWasSaid) {
  executor_.answer = std::string(60, 'a');
  executor_.step_time = std::chrono::milliseconds(5);
  turns_.push_back({"user", "x"});
  const Result<Generation> generation = backend_.generate(
      turns_,
      {},
      [this](std::string_view piece) {
        said_ += piece;
        if (said_.size() >= 3) cancelled_ = true;
      },
      [this] { return cancelled_; });
  ASSERT_TRUE(generation);
  EXPECT_EQ(generation->finish_reason, FinishReason::cancelled);
  EXPECT_GE(said_.size(), 3u);
  EXPECT_LT(said_.size(), 60u);
}

TEST_F(Backend, AFailedStepIsAFailedAnswer) {
  executor_.answer = "never";
  executor_.error = "device 1 is gone";
  const Result<Generation> generation = ask("x");
  ASSERT_TRUE(generation);
  EXPECT_EQ(generation->finish_reason, FinishReason::error);
  EXPECT_NE(generation->error.find("device 1 is gone"), std::string::npos) << generation->error;
}

TEST_F(Backend, AnExceptionWhileShowingTextEndsTheRequest) {
  executor_.answer = std::string(60, 'a');
  turns_.push_back({"user", "x"});
  EXPECT_THROW(static_cast<void>(backend_.generate(
                   turns_,
                   {},
                   [](std::string_view) { throw std::runtime_error("closed"); },
                   [] { return false; })),
               std::runtime_error);
  for (int tries = 0; engine_.stats().num_running != 0 && tries < 1000; ++tries)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(engine_.stats().num_running, 0);
}

}  // namespace
}  // namespace fastchat::serve
