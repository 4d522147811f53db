// What the API takes from requests, and how it names what is wrong with them.
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "serve/api/api_keys.h"
#include "serve/api/chat_request.h"
#include "serve/api/completion_request.h"
#include "serve/api/fields.h"

namespace fastchat::serve::api {
namespace {

using text::Json;

/// The param of the error that `work` ends with; "none" where it does not.
template <typename Work>
std::string param_of(Work work) {
  try {
    work();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 400);
    EXPECT_FALSE(error.message.empty());
    return error.param;
  }
  return "none";
}

TEST(Fields, AFieldThatIsNullCountsAsAbsent) {
  const Json object = Json::parse(R"({"a": null, "b": 1})");
  Fields fields(object);
  EXPECT_FALSE(fields.has("a"));
  EXPECT_EQ(fields.integer("b", 0, 5), 1);
  EXPECT_FALSE(fields.boolean("c").has_value());
}

TEST(Fields, WholeNumbersMayBeWrittenWithAPointAndHaveBounds) {
  const Json object =
      Json::parse(R"({"a": 3.0, "b": 3.5, "c": 1e300, "d": 18446744073709551615, "e": -1})");
  Fields fields(object);
  EXPECT_EQ(fields.integer("a", 0, 5), 3);
  for (const char* const name : {"b", "c", "d", "e"})
    EXPECT_EQ(param_of([&] { fields.integer(name, 0, INT64_MAX); }), name);
}

TEST(Fields, NamesThatNobodyAskedForAreLeftOver) {
  const Json object = Json::parse(R"({"a": 1, "b": null, "c": 2})");
  Fields fields(object);
  fields.integer("a", 0, 5);
  EXPECT_EQ(fields.others(), (std::vector<std::string>{"b", "c"}));
}

TEST(ParseBody, DepthIsBounded) {
  const auto nested = [](int depth) {
    return R"({"a":)" + std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']') + "}";
  };
  EXPECT_NO_THROW(parse_body(nested(50)));
  EXPECT_THROW(parse_body(nested(100)), ApiError);
  EXPECT_THROW(parse_body(nested(1'000'000)), ApiError);
  EXPECT_THROW(parse_body("[]"), ApiError);
  EXPECT_THROW(parse_body("{\"a\": \"\xff\"}"), ApiError);
}

Json chat(const char* more) {
  Json body = Json::parse(R"({"model": "m", "messages": [{"role": "user", "content": "hi"}]})");
  body.update(Json::parse(more));
  return body;
}

TEST(ChatRequest, DefaultsAreTheModelsAndTheRequestOverridesThem) {
  const engine::SamplingParams defaults{.temperature = 0.6f, .top_p = 0.9f, .top_k = 20};
  const ChatRequest plain = read_chat_request(chat("{}"), defaults, false);
  EXPECT_EQ(plain.common.sampling.temperature, 0.6f);
  EXPECT_EQ(plain.common.sampling.top_k, 20);
  EXPECT_EQ(plain.common.sampling.max_tokens, 0);
  EXPECT_FALSE(plain.common.stream.streams);
  const ChatRequest own = read_chat_request(
      chat(R"({"temperature": 0, "top_k": -1, "max_tokens": 5, "max_completion_tokens": 7})"),
      defaults,
      false);
  EXPECT_EQ(own.common.sampling.temperature, 0.0f);
  EXPECT_EQ(own.common.sampling.top_k, -1);
  EXPECT_EQ(own.common.sampling.max_tokens, 7);
}

TEST(ChatRequest, VariablesOfTheTemplate) {
  const ChatRequest request =
      read_chat_request(chat(R"({"chat_template_kwargs": {"a": 1}, "enable_thinking": false,
               "reasoning_effort": "low"})"),
                        {},
                        false);
  EXPECT_EQ(request.render.extra,
            Json::parse(R"({"a": 1, "enable_thinking": false, "reasoning_effort": "low"})"));
  EXPECT_EQ(read_chat_request(chat(R"({"reasoning_effort": "none"})"), {}, false)
                .render.extra["enable_thinking"],
            false);
}

TEST(ChatRequest, MessagesAreMadeWhatTemplatesTake) {
  const Json messages = Json::parse(R"([
      {"role": "developer", "content": "a"},
      {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
      {"role": "assistant", "content": null, "tool_calls": [
          {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
      {"role": "tool", "tool_call_id": "1", "content": "d"}])");
  EXPECT_EQ(template_messages(messages), Json::parse(R"([
      {"role": "system", "content": "a"},
      {"role": "user", "content": "b\nc"},
      {"role": "assistant", "content": "", "tool_calls": [
          {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
      {"role": "tool", "content": "d", "tool_call_id": "1"}])"));
}

TEST(ChatRequest, UnknownFieldsAreRefusedWhereThatIsAsked) {
  EXPECT_NO_THROW(read_chat_request(chat(R"({"wild": 1})"), {}, false));
  EXPECT_EQ(param_of([] { read_chat_request(chat(R"({"wild": 1})"), {}, true); }), "wild");
  EXPECT_NO_THROW(read_chat_request(chat(R"({"user": "u", "tools": []})"), {}, true));
}

TEST(CompletionRequest, PromptsOfAllKinds) {
  const auto count = [](const char* prompt) {
    const Json body = {{"model", "m"}, {"prompt", Json::parse(prompt)}};
    return read_completion_request(body, {}, false).prompts.size();
  };
  EXPECT_EQ(count(R"("a")"), 1u);
  EXPECT_EQ(count(R"(["a", "b"])"), 2u);
  EXPECT_EQ(count("[1, 2, 3]"), 1u);
  EXPECT_EQ(count("[[1, 2], [3]]"), 2u);
  for (const char* const wrong : {"[]", "5", "[[]]", "[1, \"a\"]", "[[1.5]]", "{}", "[-1]"})
    EXPECT_EQ(param_of([&] { count(wrong); }), "prompt") << wrong;
}

TEST(ApiKeys, AreFoundByWhatTheyAre) {
  ApiKeys keys;
  std::istringstream file(
      "# comment\n\nalice secret\n"
      "bob sha256:b03ddf3ca2e714a6548e7495e2a03f5e824eaac9837cd7f159c67b90fb4b7342\n");
  ASSERT_TRUE(keys.add_file(file));
  ASSERT_NE(keys.find("secret"), nullptr);
  EXPECT_EQ(*keys.find("secret"), "alice");
  ASSERT_NE(keys.find("P@ssw0rd"), nullptr);
  EXPECT_EQ(*keys.find("P@ssw0rd"), "bob");
  EXPECT_EQ(keys.find(""), nullptr);
  EXPECT_EQ(keys.find("secret "), nullptr);
}

TEST(ApiKeys, MalformedLinesAreNamedWithoutTheirKeys) {
  for (const char* const line : {"alice", "alice a b", "alice sha256:12", "alice sha256:"}) {
    ApiKeys keys;
    std::istringstream file(std::string("# first\n") + line);
    const Result<void> read = keys.add_file(file);
    ASSERT_FALSE(read) << line;
    EXPECT_NE(read.error().message.find("line 2"), std::string::npos) << read.error().message;
  }
}

}  // namespace
}  // namespace fastchat::serve::api
