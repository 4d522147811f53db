// The origin case on cards: four of them on which a model fits easily while an even split of its
// layers would overflow one at the promised context. And published shapes with made-up weights.
#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "device/ascend/cann_library.h"
#include "tests/demo/answers.h"
#include "tests/demo/compare.h"
#include "tests/demo/promise.h"
#include "tests/demo/shape_folder.h"
#include "tests/npu/ways.h"

namespace fastchat::demo_test {
namespace {

using parallel::ParallelMode;

// The head weighs as much as several layers.
constexpr const char* kWideVocabulary = R"({
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 12,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "eos_token_id": 0, "use_sliding_window": false})";

serve::ModelOptions on_cards(serve::ModelOptions options, int num_cards) {
  options.device = "npu";
  options.num_gpus = num_cards;
  options.parallel.request.mode = ParallelMode::layer;
  return options;
}

/// Bytes that a card needs for `num_layers` layers at the promised context.
std::uint64_t needed(const parallel::PlanRequest& request,
                     int num_layers,
                     bool has_embedding,
                     bool has_head) {
  const parallel::ModelSizes& sizes = request.sizes;
  const auto blocks = static_cast<std::uint64_t>((request.max_model_len + sizes.kv_block_size - 1) /
                                                     sizes.kv_block_size +
                                                 sizes.spare_kv_blocks);
  return static_cast<std::uint64_t>(num_layers) *
             (sizes.layer_weight_bytes.front() + blocks * sizes.layer_kv_bytes_per_block.front()) +
         (has_embedding ? sizes.embedding_bytes : 0) + (has_head ? sizes.head_bytes : 0) +
         parallel::workspace_bytes(sizes, request, has_head);
}

TEST(NpuPlacement, APlanThatAnEvenSplitWouldOverflowCompletesThePromisedContext) {
  constexpr std::int64_t kContext = 2048;
  const ShapeFolder folder(kWideVocabulary);
  serve::ModelOptions tight = on_cards(folder.options("float16"), 4);
  tight.max_model_len = kContext;
  tight.max_num_seqs = 2;
  tight.kv_cache_bytes.reset();
  parallel::PlanRequest request;
  {
    const std::unique_ptr<device::Platform> platform = serve::open_platform(tight);
    request = serve::prepare_plan(tight, *platform).request;
  }
  // Just enough for 2, 4, 4 and 2 layers; together there is room for 12, and an even split's 3
  // overflow the card that has the head.
  tight.max_gpu_memory = {needed(request, 3, true, false),
                          needed(request, 4, false, false),
                          needed(request, 4, false, false),
                          needed(request, 2, false, true)};
  ASSERT_GT(needed(request, 3, false, true), tight.max_gpu_memory[3]);

  serve::ModelInstance model(tight, {});
  ASSERT_EQ(model.plan().placement.stages.size(), 4u);
  EXPECT_LE(model.plan().placement.stages[3].num_layers, 2);
  EXPECT_EQ(model.plan().max_model_len, kContext);

  expect_context_and_no_more(model, tight, kContext);
}

struct Widths {
  int hidden, intermediate, layers, heads, kv_heads;
};
/// Those of Qwen2-7B and Qwen2-72B over 16, and fewer layers.
constexpr Widths kSmallSeven{448, 1184, 4, 28, 4};
constexpr Widths kSmallSeventyTwo{512, 1856, 8, 32, 8};

std::string qwen2_config(const Widths& widths) {
  return fmt::format(R"({{
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": {}, "intermediate_size": {}, "num_hidden_layers": {},
    "num_attention_heads": {}, "num_key_value_heads": {}, "head_dim": 16, "vocab_size": 4752,
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "eos_token_id": 0, "use_sliding_window": false}})",
                     widths.hidden,
                     widths.intermediate,
                     widths.layers,
                     widths.heads,
                     widths.kv_heads);
}

/// What each card of the plan needs for the context alone.
std::vector<std::uint64_t> tightest(const parallel::Plan& plan) {
  const std::int64_t blocks = (plan.max_model_len + plan.kv_block_size - 1) / plan.kv_block_size;
  std::vector<std::uint64_t> bytes;
  for (const parallel::DevicePlan& card : plan.devices)
    bytes.push_back(card.weight_bytes + card.workspace_bytes +
                    card.kv_bytes_per_token *
                        static_cast<std::uint64_t>(blocks * plan.kv_block_size));
  return bytes;
}

bool runs_slow_tests() { return std::getenv("FASTCHAT_SLOW_TESTS") != nullptr; }

// The full sizes run in the emulator's paced mode, which computes nothing; see docs/ascend.md.
TEST(NpuPlacement, PromisesHoldInEveryModeWithoutAByteToSpare) {
  constexpr std::int64_t kContext = 384;
  struct Case {
    Widths widths;
    int num_cards;
    ParallelMode mode;
    bool is_quick = false;
  };
  for (const Case& each : {Case{kSmallSeven, 4, ParallelMode::layer},
                           Case{kSmallSeven, 4, ParallelMode::pipeline, true},
                           Case{kSmallSeven, 4, ParallelMode::tensor},
                           Case{kSmallSeventyTwo, 8, ParallelMode::pipeline},
                           Case{kSmallSeventyTwo, 8, ParallelMode::tensor, true}}) {
    if (!each.is_quick && !runs_slow_tests()) continue;
    SCOPED_TRACE(fmt::format("{} cards, {}", each.num_cards, parallel::to_string(each.mode)));
    const ShapeFolder folder(qwen2_config(each.widths));
    serve::ModelOptions tight = on_cards(folder.options("float16"), each.num_cards);
    tight.parallel.request.mode = each.mode;
    tight.max_model_len = kContext;
    tight.max_num_seqs = 1;
    tight.max_num_batched_tokens = 256;
    tight.kv_cache_bytes.reset();
    {
      const std::unique_ptr<device::Platform> platform = serve::open_platform(tight);
      const parallel::PlanRequest request = serve::prepare_plan(tight, *platform).request;
      const auto plan = parallel::make_plan(request);
      ASSERT_TRUE(plan) << plan.error().message;
      tight.max_gpu_memory = tightest(*plan);
    }
    serve::ModelInstance model(tight, {});
    expect_context_and_no_more(model, tight, kContext);
  }
}

/// Cards give the answers of one cpu device in every way, each with one kind of steps; with another
/// CANN another.
void expect_answers_of_the_cpu(const serve::ModelOptions& options, std::int32_t vocab_size) {
  const auto prompts = made_up_prompts(vocab_size);
  engine::SamplingParams params = greedy_with_logprobs(6);
  params.ignore_eos = true;
  std::vector<Answer> expected;
  {
    serve::ModelInstance cpu(options, {});
    expected = generate(cpu, prompts, params);
  }
  const device::ascend::CannLibrary* const cann = device::ascend::CannLibrary::load();
  ASSERT_NE(cann, nullptr);
  auto next = static_cast<std::size_t>(cann->version() / 10);
  for (const Way& way : ways()) {
    const Steps steps = kEverySteps[next++ % std::size(kEverySteps)];
    SCOPED_TRACE(fmt::format("{}, {}", way.name, to_string(steps)));
    serve::ModelInstance npu(on_cards(options, way, steps), {});
    const std::vector<Answer> answers = generate(npu, prompts, params);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "prompt " << i);
      expect_same(answers[i], expected[i], 0.05);
    }
  }
}

TEST(NpuShapes, HalfABillion) {
  if (!runs_slow_tests())
    GTEST_SKIP() << "1 GB of made-up weights, twice: set FASTCHAT_SLOW_TESTS=1 (test-slow does)";
  serve::ModelOptions options;
  options.shape = "qwen2-0.5b";
  options.load_format = serve::LoadFormat::dummy;
  options.device = "cpu";
  options.dtype = "float16";
  options.max_model_len = 256;
  options.max_num_seqs = 4;
  options.max_num_batched_tokens = 64;
  options.kv_cache_bytes = 64 * 1024 * 1024;
  expect_answers_of_the_cpu(options, 151936);
}

TEST(NpuShapes, FourLayersOfSevenBillion) {
  if (!runs_slow_tests())
    GTEST_SKIP() << "2 GB of made-up weights, twice: set FASTCHAT_SLOW_TESTS=1 (test-slow does)";
  const ShapeFolder folder(kFourLayersOfSevenBillion);
  expect_answers_of_the_cpu(folder.options("float16"), 8192);
}

}  // namespace
}  // namespace fastchat::demo_test
