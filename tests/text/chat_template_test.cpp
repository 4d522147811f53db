#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <iterator>

#include "tests/text/fixtures.h"

namespace fastchat::text {
namespace {

Json user(const Json& content) { return Json::array({{{"role", "user"}, {"content", content}}}); }

Result<std::string> render(std::string_view source, const RenderOptions& options = {}) {
  Result<ChatTemplate> chat_template = ChatTemplate::from_source(source);
  if (!chat_template) return chat_template.error();
  return chat_template->render(user("hi"), options);
}

/// Renders a recorded case and says how it differs from the recorded result; nothing if it does
/// not.
std::string difference(const Json& golden, const std::string& source, RenderOptions options) {
  options.add_generation_prompt = false;
  options.tools = golden.value("tools", Json());
  options.documents = golden.value("documents", Json());
  if (const auto prompt = options.extra.find("add_generation_prompt");
      prompt != options.extra.end()) {
    options.add_generation_prompt = prompt->get<bool>();
  }
  const Json messages = golden.value("messages", Json::array());
  Result<ChatTemplate> compiled = ChatTemplate::from_source(source);
  Result<std::string> result =
      compiled ? compiled->render(messages, options) : Result<std::string>(compiled.error());
  const std::string got = result ? *result : "error: " + result.error().message;
  if (golden.contains("output")) {
    const auto expected = golden["output"].get<std::string>();
    return result && *result == expected ? ""
                                         : fmt::format("expected {}\n     got {}", expected, got);
  }
  const auto kind = golden["error"].get<std::string>();
  if (result) return fmt::format("expected an error ({}), got {}", kind, got);
  if (kind == "raised" && result.error().message != golden["message"].get<std::string>()) {
    return fmt::format("expected to raise {}, got {}", golden["message"].dump(), got);
  }
  if (kind == "syntax" && (compiled || got.find("line ") == std::string::npos)) {
    return fmt::format("expected a syntax error with its line, got {}", got);
  }
  return "";
}

class Utc : public ::testing::Environment {
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};
const auto* const kUtc = ::testing::AddGlobalTestEnvironment(new Utc);

TEST(ChatTemplate, RendersConversationsAsTransformers) {
  const Json golden = Json::parse(read_all(tests_folder() / "goldens" / "templates.json"));
  for (const Json& recorded : golden["cases"]) {
    const auto name = recorded["template"].get<std::string>();
    RenderOptions options;
    options.extra = recorded["options"];
    options.now = golden["now"].get<std::int64_t>();
    const std::string source = read_all(tests_folder() / "templates" / name);
    EXPECT_EQ(difference(recorded, source, options), "")
        << name << "\nmessages " << recorded["messages"] << "\noptions " << recorded["options"];
  }
}

/// What is known to differ from Jinja2 and why it stays so: the engine offers no hook for it, and
/// no chat template that we know of depends on it.
bool differs_knowingly(std::string_view source) {
  constexpr std::string_view kKnown[] = {
      "{{ '%s is %d' % ('a', 3) }}",          // printf style with the operator; the filter works
      "{{ '%s' % 'x' }}",                     //
      "{{ 'a' < 1 }}",                        // an order between types, not an error
      "{{ s | nofilter }}",                   // an error of the first render, not of the template
      "{% for x in nothing %}a{% endfor %}",  // None is an empty list to `for`
      "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}",
  };
  return std::find(std::begin(kKnown), std::end(kKnown), source) != std::end(kKnown);
}

TEST(ChatTemplate, ExpressionsAndBlocksAreThoseOfJinja2) {
  const Json golden = Json::parse(read_all(tests_folder() / "goldens" / "snippets.json"));
  for (const Json& recorded : golden["cases"]) {
    const auto source = recorded["source"].get<std::string>();
    if (differs_knowingly(source)) continue;
    RenderOptions options;
    options.extra = golden["variables"];
    options.now = golden["now"].get<std::int64_t>();
    EXPECT_EQ(difference(recorded, source, options), "") << source;
  }
}

TEST(ChatTemplate, FolderWithoutTemplateSaysSo) {
  const TempFolder folder;
  folder.write("tokenizer_config.json", "{}");
  const Error error = ChatTemplate::from_folder(folder.path()).error();
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_NE(error.message.find("this model has no chat template"), std::string::npos);
}

TEST(ChatTemplate, TemplateFileGoesBeforeTokenizerConfig) {
  const TempFolder folder;
  folder.write(
      "tokenizer_config.json",
      R"({"chat_template": "config", "bos_token": {"content": "<s>"}, "eos_token": null})");
  EXPECT_EQ(ChatTemplate::from_folder(folder.path())->render(user("x")).value(), "config");
  folder.write("chat_template.jinja",
               "file {{ bos_token }}{{ eos_token }}{{ pad_token is defined }}\n");
  const ChatTemplate chat_template = ChatTemplate::from_folder(folder.path()).value();
  EXPECT_EQ(chat_template.render(user("x")).value(), "file <s>False");
  RenderOptions options;
  options.bos_token = "[B]";
  options.eos_token = "[E]";
  EXPECT_EQ(chat_template.render(user("x"), options).value(), "file [B][E]False");
}

TEST(ChatTemplate, NamedTemplatesServeRequestsWithAndWithoutTools) {
  const TempFolder folder;
  folder.write("tokenizer_config.json",
               R"({"chat_template": [{"name": "default", "template": "plain"},
                                     {"name": "tool_use", "template": "tools {{ tools | length }}"}]})");
  const ChatTemplate chat_template = ChatTemplate::from_folder(folder.path()).value();
  RenderOptions options;
  EXPECT_EQ(chat_template.render(user("x"), options).value(), "plain");
  options.tools = Json::array({Json::object()});
  EXPECT_EQ(chat_template.render(user("x"), options).value(), "tools 1");
}

TEST(ChatTemplate, MalformedTemplateEntriesAreErrors) {
  for (const char* entry :
       {"3", "[]", "[3]", R"([{"name": "default"}])", R"("{% if %}")", R"("{{ 'a }}")"}) {
    const TempFolder folder;
    folder.write("tokenizer_config.json", fmt::format(R"({{"chat_template": {}}})", entry));
    const Result<ChatTemplate> chat_template = ChatTemplate::from_folder(folder.path());
    ASSERT_FALSE(chat_template) << entry;
    EXPECT_EQ(chat_template.error().code, ErrorCode::invalid_request);
    EXPECT_NE(chat_template.error().message.find("tokenizer_config.json"), std::string::npos);
  }
}

TEST(ChatTemplate, SyntaxErrorsTellTheLine) {
  const Error error = ChatTemplate::from_source("a\nb\n{% for x in %}\n").error();
  EXPECT_EQ(error.code, ErrorCode::invalid_request);
  EXPECT_NE(error.message.find("line 3"), std::string::npos) << error.message;
}

TEST(ChatTemplate, RaisedMessageComesBackAlone) {
  const Error error = render("{{ raise_exception('Only user, please') }}").error();
  EXPECT_EQ(error.code, ErrorCode::invalid_request);
  EXPECT_EQ(error.message, "Only user, please");
}

TEST(ChatTemplate, StrftimeNowFollowsTheMachinesClock) {
  const std::string now = render("{{ strftime_now('%Y-%m-%d') }}").value();
  EXPECT_EQ(now.size(), 10u);
  EXPECT_GE(now, "2024-01-01");
}

TEST(ChatTemplate, ContentsThatAreNotUtf8AreReplaced) {
  const ChatTemplate chat_template = ChatTemplate::from_source("{{ messages[0].content }}").value();
  EXPECT_EQ(chat_template.render(user("a\xFFz")).value(), "a\uFFFDz");
  EXPECT_EQ(chat_template.render(user(std::string("a\0b", 3))).value(), std::string("a\0b", 3));
}

TEST(ChatTemplate, WrongShapesOfInputAreErrors) {
  const ChatTemplate chat_template = ChatTemplate::from_source("x").value();
  EXPECT_FALSE(chat_template.render(Json::object()));
  EXPECT_FALSE(chat_template.render(Json::array({1})));
  RenderOptions options;
  options.extra = 3;
  EXPECT_FALSE(chat_template.render(user("x"), options));
  Json deep = "x";
  for (int i = 0; i < 5000; ++i) deep = Json::array({std::move(deep)});
  EXPECT_EQ(chat_template.render(user(std::move(deep))).error().code, ErrorCode::invalid_request);
}

TEST(ChatTemplate, HostileTemplatesEndInAnError) {
  const std::string deep_parentheses =
      "{{ " + std::string(50000, '(') + "1" + std::string(50000, ')') + " }}";
  const std::string deep_lists = "{{ " + std::string(50000, '[') + std::string(50000, ']') + " }}";
  std::string deep_blocks;
  for (int i = 0; i < 20000; ++i) deep_blocks += "{% if true %}";
  const std::string grow = "{% set ns = namespace(x='') %}{% for i in range(100000) %}";
  const std::string sources[] = {
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(n) %}{{ g(n) }}{% endmacro %}{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor %}{% endfor %}",
      "{% for i in range(1000000000000) %}{% endfor %}",
      "{% set x = 'x' * 100000000000 %}",
      "{% set x = [1] * 100000000000 %}",
      "{{ 'a'.ljust(100000000000) }}",
      "{{ 'a'.zfill(100000000000) }}",
      "{{ 'a' | center(100000000000) }}",
      "{{ '%0100000000000d' | format(1) }}",
      "{{ '{:100000000000}'.format(1) }}",
      "{{ '{:{w}}'.format(1, w=100000000000) }}",
      "{{ 'a' | indent(100000000000) }}",
      "{{ 2 ** 100000000000 }}",
      "{% set a = 'x' * 1000000 %}{{ a.replace('x', a) }}",
      "{% set a = 'x' * 1000000 %}{{ a | replace('x', a) }}",
      "{% set a = 'x' * 1000000 %}{{ a.join(a) }}",
      "{% set a = 'x' * 1000000 %}{{ a | join(a) }}",
      grow + "{% set ns.x = ns.x + 'some text that grows' * 1000 %}{% endfor %}",
      "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x | tojson }}",
      "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x }}",
      "{{ [1] | tojson(indent=100000000000) }}",
      deep_parentheses,
      deep_lists,
      deep_blocks,
      "{{ 'a" + std::string(100, '\\'),
      "{% generation",
      "{% raw %}",
      "{#",
      "\xFF",
  };
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 120));
    const Result<std::string> result = render(source);
    if (result) {
      EXPECT_LT(result->size(), 1u << 26);
    } else {
      EXPECT_EQ(result.error().code, ErrorCode::invalid_request) << result.error().message;
      EXPECT_LT(result.error().message.size(), 10000u);
    }
  }
}

TEST(ChatTemplate, BudgetLeavesRoomForLongConversations) {
  const ChatTemplate chat_template =
      ChatTemplate::from_source(read_all(tests_folder() / "templates" / "thinking.jinja")).value();
  Json messages = Json::array();
  std::size_t size = 0;
  for (int i = 0; i < 2000; ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"},
                        {"content", "<think>a</think>" + std::string(2000, 'x')}});
    size += 2000;
  }
  EXPECT_GT(chat_template.render(messages).value().size(), size);
}

}  // namespace
}  // namespace fastchat::text
