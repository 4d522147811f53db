// Pipeline and tensor mode and the choice between them, against a search through everything the
// rules allow: every way to group the devices, every rule to share tensors, every split of layers.
#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "parallel/cards.h"
#include "parallel/planner.h"
#include "parallel/stage_costs.h"

namespace fastchat::parallel {
namespace {

std::string_view in_chinese(std::string_view /*english*/, std::string_view chinese) {
  return chinese;
}

/// A model whose tensors can be shared: bytes proportional to what a rank has.
SizesOfShare sizes_of_share(int num_layers, std::uint64_t head_factor, std::int64_t block_size) {
  return [=](const TensorShare& share, int steps_in_flight) {
    const auto count = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
    ModelSizes sizes;
    const std::uint64_t layer = 100 + 30 * count(share.heads.count + 2 * share.kv_heads.count) +
                                3 * count(share.intermediate.count);
    sizes.layer_weight_bytes.assign(static_cast<std::size_t>(num_layers), layer);
    sizes.layer_kv_bytes_per_block.assign(static_cast<std::size_t>(num_layers),
                                          2 * count(share.kv_heads.count * block_size));
    sizes.kv_block_size = block_size;
    sizes.embedding_bytes = 10 * count(share.hidden.count);
    sizes.head_bytes = head_factor * count(share.vocab.count);
    sizes.activation_bytes_per_token = 3;
    sizes.step_bytes_per_sequence = count(steps_in_flight);
    sizes.logits_bytes_per_row = count(share.vocab.count);
    sizes.fixed_bytes = 20;
    sizes.hidden_bytes_per_token = 256;
    sizes.layer_flops_per_token = static_cast<double>(2 * layer);
    sizes.head_flops_per_row = static_cast<double>(2 * sizes.head_bytes);
    return sizes;
  };
}

PlanRequest random_request(std::mt19937_64& random) {
  const auto between = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  PlanRequest request;
  request.axes.num_kv_heads = between(1, 4);
  request.axes.num_heads = request.axes.num_kv_heads * between(1, 4);
  request.axes.intermediate = between(16, 200);
  request.axes.hidden = between(16, 100);
  request.axes.vocab = between(16, 300);
  request.axes.unit = std::int64_t{1} << between(0, 4);
  request.sizes_of_share = sizes_of_share(
      static_cast<int>(between(1, 7)), static_cast<std::uint64_t>(between(0, 30)), between(1, 8));
  request.steps_in_flight = 2;
  request.sizes = request.sizes_of_share(whole_share(request.axes), 2);
  request.max_model_len = between(1, 100);
  request.max_num_seqs = between(1, 6);
  request.max_num_batched_tokens = between(1, 32);
  request.max_logits_rows = between(1, 4);
  request.workload = {
      .num_streams = between(1, 8), .prompt_len = between(1, 50), .gen_len = between(1, 50)};
  std::uint64_t weights = request.sizes.embedding_bytes + request.sizes.head_bytes;
  for (const std::uint64_t bytes : request.sizes.layer_weight_bytes) weights += bytes;
  const std::int64_t num_devices = between(1, 4);
  const bool alike = between(0, 1) == 0;
  const std::uint64_t typical = weights / static_cast<std::uint64_t>(num_devices) + 400;
  const auto any_size = [&] {
    return static_cast<std::uint64_t>(
        between(static_cast<std::int64_t>(typical / 2), static_cast<std::int64_t>(typical * 3)));
  };
  const std::uint64_t size = any_size();
  for (std::int64_t d = 0; d < num_devices; ++d) {
    DeviceBudget device{.name = "test", .total_bytes = 1 << 30, .free_bytes = 1 << 30};
    device.limit_bytes = alike ? size : any_size();
    device.speed = {.read_bytes_per_s = alike ? 1e6 : static_cast<double>(between(5, 20)) * 1e5,
                    .flops_per_s = 1e8,
                    .link_bytes_per_s = 1e6,
                    .all_reduce_s = 1e-6 * static_cast<double>(between(0, 1000))};
    request.devices.push_back(device);
  }
  return request;
}

/// KV blocks that a group holds beside layers [first, last); -1: not even the layers.
std::int64_t blocks_of_group(const PlanRequest& request,
                             const std::vector<double>& weights,
                             int first_device,
                             int steps_in_flight,
                             int first,
                             int last) {
  PlanRequest bounds = request;
  bounds.steps_in_flight = steps_in_flight;
  const int num_layers = static_cast<int>(request.sizes.layer_weight_bytes.size());
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (int rank = 0; rank < static_cast<int>(weights.size()); ++rank) {
    const TensorShare share =
        weights.size() == 1
            ? whole_share(request.axes)
            : share_of(request.axes, split_tensors(request.axes, weights).value(), rank);
    const ModelSizes sizes = request.sizes_of_share(share, steps_in_flight);
    std::uint64_t fixed = workspace_bytes(sizes, bounds, last == num_layers);
    std::uint64_t per_block = 0;
    for (int layer = first; layer < last; ++layer) {
      fixed += sizes.layer_weight_bytes[static_cast<std::size_t>(layer)];
      per_block += sizes.layer_kv_bytes_per_block[static_cast<std::size_t>(layer)];
    }
    if (first == 0) fixed += sizes.embedding_bytes;
    if (last == num_layers) fixed += sizes.head_bytes;
    const std::uint64_t budget = budget_bytes(
        request,
        request.devices[static_cast<std::size_t>(first_device) + static_cast<std::size_t>(rank)]);
    if (fixed > budget) return -1;
    least = std::min(least, static_cast<std::int64_t>((budget - fixed) / per_block));
  }
  return least;
}

/// Shares in proportion to memory (0), speed (1), or between: the rule that the planner documents.
std::vector<double> group_weights(const PlanRequest& request,
                                  int first,
                                  int size,
                                  double by_speed) {
  double memory = 0;
  double speed = 0;
  for (int i = first; i < first + size; ++i) {
    memory +=
        static_cast<double>(budget_bytes(request, request.devices[static_cast<std::size_t>(i)]));
    speed += request.devices[static_cast<std::size_t>(i)].speed.read_bytes_per_s;
  }
  std::vector<double> weights;
  for (int i = first; i < first + size; ++i) {
    const DeviceBudget& device = request.devices[static_cast<std::size_t>(i)];
    weights.push_back(by_speed * device.speed.read_bytes_per_s / speed +
                      (1 - by_speed) * static_cast<double>(budget_bytes(request, device)) / memory);
  }
  return weights;
}

/// The most KV blocks of any split of the layers over groups of `tensor` devices.
std::int64_t best_blocks(const PlanRequest& request, int tensor, double by_speed, int steps) {
  const int num_groups = static_cast<int>(request.devices.size()) / tensor;
  const int num_layers = static_cast<int>(request.sizes.layer_weight_bytes.size());
  std::int64_t best = -1;
  const std::function<void(int, int, std::int64_t)> place =
      [&](int group, int first, std::int64_t blocks) {
        if (first == num_layers) best = std::max(best, blocks);
        if (first == num_layers || group == num_groups) return;
        place(group + 1, first, blocks);
        for (int last = first + 1; last <= num_layers; ++last) {
          const std::int64_t here = blocks_of_group(
              request,
              tensor == 1 ? std::vector<double>{1.0}
                          : group_weights(request, group * tensor, tensor, by_speed),
              group * tensor,
              steps,
              first,
              last);
          if (here >= 0) place(group + 1, last, std::min(blocks, here));
        }
      };
  place(0, 0, std::numeric_limits<std::int64_t>::max());
  return best;
}

bool some_way_holds(const PlanRequest& request) {
  const std::int64_t promise =
      (request.max_model_len + request.sizes.kv_block_size - 1) / request.sizes.kv_block_size;
  const int devices = static_cast<int>(request.devices.size());
  for (int tensor = 1; tensor <= devices; ++tensor) {
    if (devices % tensor != 0 || tensor > request.axes.num_heads) continue;
    for (const double by_speed : {1.0, 0.75, 0.5, 0.25, 0.0})
      if (best_blocks(request, tensor, by_speed, 2) >= promise) return true;
  }
  return false;
}

/// What a plan says of each device is within its budget, and the stages cover the model.
void expect_sound(const PlanRequest& request, const Plan& plan) {
  const int num_layers = static_cast<int>(request.sizes.layer_weight_bytes.size());
  int next_layer = 0;
  for (const StagePlacement& stage : plan.placement.stages) {
    ASSERT_EQ(stage.first_layer, next_layer);
    ASSERT_GT(stage.num_layers, 0);
    ASSERT_EQ(static_cast<int>(stage.devices.size()), plan.tensor_size);
    next_layer += stage.num_layers;
    ASSERT_EQ(stage.has_head, next_layer == num_layers);
    for (int rank = 0; rank < plan.tensor_size; ++rank) {
      const ModelSizes sizes =
          request.sizes_of_share(share_of(request.axes, stage, rank), plan.steps_in_flight);
      PlanRequest bounds = request;
      bounds.steps_in_flight = plan.steps_in_flight;
      std::uint64_t used = workspace_bytes(sizes, bounds, stage.has_head);
      for (int layer = 0; layer < stage.num_layers; ++layer)
        used += sizes.layer_weight_bytes[0] +
                static_cast<std::uint64_t>(plan.num_kv_blocks) * sizes.layer_kv_bytes_per_block[0];
      if (stage.has_embedding) used += sizes.embedding_bytes;
      if (stage.has_head) used += sizes.head_bytes;
      const auto device = static_cast<std::size_t>(stage.devices[static_cast<std::size_t>(rank)]);
      ASSERT_LE(used, budget_bytes(request, request.devices[device]));
      const DevicePlan& row = plan.devices[device];
      ASSERT_EQ(row.weight_bytes + row.kv_bytes + row.workspace_bytes, used);
    }
  }
  ASSERT_EQ(next_layer, num_layers);
  ASSERT_GE(plan.num_kv_tokens, plan.max_model_len);
}

TEST(ModesProperty, AutoPlansWheneverSomeWayHoldsThePromiseAndNeverPromisesMore) {
  const std::uint64_t first_seed = 5150;
  std::cout << "seeds " << first_seed << " to " << first_seed + 599 << "\n";
  int num_plans = 0;
  int num_refusals = 0;
  std::array<int, 4> modes{};
  for (std::uint64_t seed = first_seed; seed < first_seed + 600; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    PlanRequest request = random_request(random);
    request.parallel.mode = ParallelMode::automatic;
    const Result<Plan> plan = make_plan(request);
    ASSERT_EQ(plan.has_value(), some_way_holds(request)) << (plan ? "" : plan.error().message);
    if (!plan) {
      ++num_refusals;
      continue;
    }
    ++num_plans;
    ++modes[static_cast<std::size_t>(plan->mode)];
    expect_sound(request, *plan);
    // The choice is the fastest of what it says it considered, but for 2 % in favour of the first.
    for (const ModeEstimate& mode : plan->considered)
      if (mode.fits) {
        ASSERT_LE(plan->speed.estimated_s, 1.021 * mode.estimated_s);
      }
    // The longest context that fits does, and one token more does not.
    PlanRequest longer = request;
    longer.max_model_len = 0;
    longer.max_model_len = largest_model_len(longer);
    ASSERT_GE(longer.max_model_len, request.max_model_len);
    ASSERT_TRUE(make_plan(longer).has_value());
    ++longer.max_model_len;
    ASSERT_FALSE(make_plan(longer).has_value());
  }
  EXPECT_GT(num_plans, 150);
  EXPECT_GT(num_refusals, 100);
  for (const ParallelMode mode :
       {ParallelMode::layer, ParallelMode::pipeline, ParallelMode::tensor})
    EXPECT_GT(modes[static_cast<std::size_t>(mode)], 10) << to_string(mode);
}

/// The least time that the busiest stage can have: over every split that holds the promise.
double least_busy_s(const PlanRequest& request, const StageCosts& costs) {
  const std::int64_t promise =
      (request.max_model_len + request.sizes.kv_block_size - 1) / request.sizes.kv_block_size;
  double least = std::numeric_limits<double>::infinity();
  const std::function<void(int, int, double)> place = [&](int group, int first, double busiest) {
    if (first == costs.num_layers()) least = std::min(least, busiest);
    if (first == costs.num_layers() || group == costs.num_groups()) return;
    place(group + 1, first, busiest);
    for (int last = first + 1; last <= costs.num_layers(); ++last)
      if (costs.capacity(group, first, last) >= promise)
        place(group + 1, last, std::max(busiest, costs.busy_s(group, first, last)));
  };
  place(0, 0, 0.0);
  return least;
}

TEST(ModesProperty, PipelineSplitsForTheSlowestStage) {
  const std::uint64_t first_seed = 99;
  std::cout << "seeds " << first_seed << " to " << first_seed + 299 << "\n";
  int num_compared = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    PlanRequest request = random_request(random);
    // One short request: the promise is all the KV there has to be, so the split is free to be
    // fast.
    request.workload = {.num_streams = 1, .prompt_len = 1, .gen_len = 1};
    request.max_model_len = std::max<std::int64_t>(request.max_model_len, 2);
    request.parallel.mode = ParallelMode::pipeline;
    const auto num_devices = static_cast<int>(request.devices.size());
    if (num_devices < 2) continue;
    const Result<Plan> plan = make_plan(request);
    if (!plan) continue;
    expect_sound(request, *plan);
    const StageCosts costs(request,
                           {.mode = ParallelMode::pipeline,
                            .pipeline_size = num_devices,
                            .num_micro_batches = num_devices,
                            .steps_in_flight = num_devices + 1});
    double busiest = 0;
    for (const StagePlacement& stage : plan->placement.stages)
      busiest = std::max(
          busiest,
          costs.busy_s(
              stage.devices.front(), stage.first_layer, stage.first_layer + stage.num_layers));
    const double least = least_busy_s(request, costs);
    ASSERT_NEAR(busiest, least, 1e-8 * least);
    ++num_compared;
  }
  EXPECT_GT(num_compared, 50);
}

TEST(Modes, SizesThatDoNotMultiplyToTheDevicesAreRefused) {
  std::mt19937_64 random(1);
  PlanRequest request = random_request(random);
  request.devices.assign(4, request.devices.front());
  request.parallel = {.mode = ParallelMode::automatic, .pipeline_size = 3};
  const Result<Plan> plan = make_plan(request);
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("--pipeline-parallel-size 3"), std::string::npos)
      << plan.error().message;
  const std::string chinese = to_text(explain_refusal(request), request, in_chinese);
  EXPECT_NE(chinese.find("为 3 的倍数，现有 4 个"), std::string::npos) << chinese;
}

TEST(Modes, FasterLinksMakeTensorModeTheChoice) {
  std::mt19937_64 random(4);
  PlanRequest request = random_request(random);
  request.axes.num_heads = request.axes.num_kv_heads = 4;
  request.sizes_of_share = sizes_of_share(6, 10, 8);
  request.sizes = request.sizes_of_share(whole_share(request.axes), 2);
  request.devices.assign(
      2,
      {.name = "test",
       .total_bytes = 1 << 30,
       .free_bytes = 1 << 30,
       .speed = {.read_bytes_per_s = 1e6, .flops_per_s = 1e9, .link_bytes_per_s = 1e9}});
  request.workload = {.num_streams = 1, .prompt_len = 16, .gen_len = 16};
  request.parallel.mode = ParallelMode::automatic;
  EXPECT_EQ(make_plan(request).value().mode, ParallelMode::tensor);
  for (DeviceBudget& device : request.devices) device.speed.all_reduce_s = 1.0;
  EXPECT_EQ(make_plan(request).value().mode, ParallelMode::layer);
}

TEST(Cards, AreReadFromNamesAndSizes) {
  const std::vector<DeviceBudget> cards = parse_cards("2xAscend910B4-1-32GiB,Ascend910B1").value();
  ASSERT_EQ(cards.size(), 3u);
  EXPECT_EQ(cards[0].name, "npu:0 Ascend910B4-1");
  EXPECT_EQ(cards[0].total_bytes, std::uint64_t{32} << 30);
  EXPECT_EQ(cards[2].total_bytes, std::uint64_t{64} << 30);
  EXPECT_LT(cards[2].free_bytes, cards[2].total_bytes);
  EXPECT_GT(cards[2].speed.read_bytes_per_s, cards[0].speed.read_bytes_per_s);
  for (const char* wrong : {"",
                            "4x",
                            "4xAscend",
                            "0xAscend910B1",
                            "Ascend910B1-fast",
                            "Ascend910B1,",
                            "1025xAscend910B1",
                            "512xAscend910B1,Ascend910B1"})
    EXPECT_FALSE(parse_cards(wrong)) << wrong;
  EXPECT_EQ(parse_cards("500xAscend910B1,12xAscend910B4").value().size(), 512u);
}

TEST(Cards, AreRefusedInTheReadersLanguage) {
  const auto message = [](const char* wrong) {
    return parse_cards(wrong, in_chinese).error().message;
  };
  EXPECT_NE(message("4xAscend").find("不是已知的卡"), std::string::npos) << message("4xAscend");
  EXPECT_NE(message("0xAscend910B1").find("0 张卡"), std::string::npos);
  EXPECT_NE(message("Ascend910B1-fast").find("不是内存大小"), std::string::npos);
}

}  // namespace
}  // namespace fastchat::parallel
