// The planner's arithmetic: by hand for small cases, and against every possible split for random
// ones.
#include "parallel/planner.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace fastchat::parallel {
namespace {

/// `num_layers` equal layers without embedding, head or workspace; blocks of one position with one
/// byte per layer.
PlanRequest plain_request(int num_layers, std::vector<std::uint64_t> limits) {
  PlanRequest request;
  request.sizes.layer_weight_bytes.assign(static_cast<std::size_t>(num_layers), 100);
  request.sizes.layer_kv_bytes_per_block.assign(static_cast<std::size_t>(num_layers), 1);
  request.sizes.kv_block_size = 1;
  for (std::size_t i = 0; i < limits.size(); ++i)
    request.devices.push_back({.name = "test:" + std::to_string(i),
                               .total_bytes = 1 << 30,
                               .free_bytes = 1 << 30,
                               .limit_bytes = limits[i]});
  request.max_model_len = 1;
  request.max_num_seqs = 1;
  request.max_num_batched_tokens = 1;
  request.max_logits_rows = 1;
  return request;
}

/// The workspace of plain_request: a block table of one entry per sequence and position.
constexpr std::uint64_t kTableEntryBytes = 4;

std::vector<int> layers_of(const std::vector<DevicePlan>& devices) {
  std::vector<int> layers;
  for (const DevicePlan& device : devices) layers.push_back(device.num_layers);
  return layers;
}

TEST(Budget, IsTheLimitButNeverMoreThanIsFree) {
  PlanRequest request;
  request.memory_utilization = 0.5;
  EXPECT_EQ(budget_bytes(request, {.free_bytes = 1000, .limit_bytes = 800}), 800u);
  EXPECT_EQ(budget_bytes(request, {.free_bytes = 1000, .limit_bytes = 3000}), 1000u);
  EXPECT_EQ(budget_bytes(request, {.free_bytes = 1000}), 500u);
}

TEST(Workspace, CountsArenaLogitsAndBlockTable) {
  PlanRequest request = plain_request(1, {1000});
  request.sizes.kv_block_size = 16;
  request.sizes.activation_bytes_per_token = 10;
  request.sizes.logits_bytes_per_row = 1000;
  request.sizes.step_bytes_per_sequence = 7;
  request.sizes.fixed_bytes = 5;
  request.max_num_batched_tokens = 32;
  request.max_num_seqs = 3;
  request.max_logits_rows = 2;
  request.max_model_len = 33;  // three blocks
  EXPECT_EQ(workspace_bytes(request.sizes, request, false), 5u + 32 * 10 + 3 * (7 + 3 * 4));
  EXPECT_EQ(workspace_bytes(request.sizes, request, true), 5u + 32 * 10 + 3 * (7 + 3 * 4) + 2000);
}

TEST(Planner, OneDeviceHoldsEverything) {
  PlanRequest request = plain_request(4, {400 + 10 * kTableEntryBytes + 4 * 10});
  request.max_model_len = 10;
  const Plan plan = make_plan(request).value();
  ASSERT_EQ(plan.placement.stages.size(), 1u);
  EXPECT_TRUE(plan.placement.stages[0].has_embedding);
  EXPECT_TRUE(plan.placement.stages[0].has_head);
  EXPECT_EQ(plan.placement.stages[0].num_layers, 4);
  EXPECT_EQ(plan.num_kv_tokens, 10);
  EXPECT_EQ(plan.devices[0].unused_bytes, 0u);
}

TEST(Planner, TheDeviceWithTheHeadGetsFewerLayers) {
  PlanRequest request = plain_request(8, {1000, 1000});
  request.sizes.head_bytes = 400;
  const Plan plan = make_plan(request).value();
  EXPECT_EQ(layers_of(plan.devices), (std::vector<int>{6, 2}));
  EXPECT_TRUE(plan.devices[0].has_embedding);
  EXPECT_FALSE(plan.devices[0].has_head);
  EXPECT_TRUE(plan.devices[1].has_head);
  EXPECT_EQ(plan.devices[1].weight_bytes, 600u);
}

TEST(Planner, TiedWeightsAreCountedOnBothEnds) {
  PlanRequest request = plain_request(4, {1000, 1000});
  request.sizes.embedding_bytes = request.sizes.head_bytes = 300;
  request.sizes.tied_embedding = true;
  const Plan plan = make_plan(request).value();
  EXPECT_EQ(plan.devices[0].weight_bytes, 500u);
  EXPECT_EQ(plan.devices[1].weight_bytes, 500u);
}

TEST(Planner, UnequalDevicesGetUnequalShares) {
  const Plan plan = make_plan(plain_request(8, {300, 900})).value();
  EXPECT_EQ(layers_of(plan.devices), (std::vector<int>{2, 6}));
}

TEST(Planner, ADeviceTooSmallForALayerIsLeftOut) {
  const Plan plan = make_plan(plain_request(4, {50, 900, 50, 900})).value();
  EXPECT_EQ(layers_of(plan.devices), (std::vector<int>{0, 2, 0, 2}));
  ASSERT_EQ(plan.placement.stages.size(), 2u);
  EXPECT_EQ(plan.placement.stages[0].devices, std::vector<int>{1});
  EXPECT_EQ(plan.placement.stages[1].devices, std::vector<int>{3});
  EXPECT_EQ(plan.placement.stages[1].first_layer, 2);
}

TEST(Planner, NeverMoreDevicesThanLayers) {
  const Plan plan = make_plan(plain_request(2, {900, 900, 900})).value();
  EXPECT_EQ(plan.placement.stages.size(), 2u);
}

TEST(Planner, EqualDevicesShareEvenlyWhenMemoryIsAmple) {
  const Plan plan = make_plan(plain_request(12, {9000, 9000, 9000})).value();
  EXPECT_EQ(layers_of(plan.devices), (std::vector<int>{4, 4, 4}));
}

TEST(Planner, KvIsCappedByWhatTheSequencesCanUse) {
  PlanRequest request = plain_request(2, {100000});
  request.sizes.kv_block_size = 16;
  request.max_model_len = 100;  // seven blocks
  request.max_num_seqs = 3;
  const Plan plan = make_plan(request).value();
  EXPECT_EQ(plan.num_kv_blocks, 21);
  EXPECT_EQ(plan.kv_bound, "max_num_seqs");
}

TEST(Planner, KvIsCappedByKvCacheBytesOverAllDevices) {
  PlanRequest request = plain_request(4, {1000, 1000});
  request.max_model_len = 10;
  request.max_num_seqs = 8;
  request.kv_cache_bytes = 4 * 12 + 3;  // twelve blocks of four layers, and a rest
  const Plan plan = make_plan(request).value();
  EXPECT_EQ(plan.num_kv_blocks, 12);
  EXPECT_EQ(plan.kv_bound, "kv_cache_bytes");
  EXPECT_EQ(plan.devices[0].kv_bytes + plan.devices[1].kv_bytes, 48u);
}

TEST(Planner, LimitedByMemorySaysSo) {
  PlanRequest request = plain_request(2, {300});
  request.max_model_len = 10;
  request.max_num_seqs = 2;
  const Plan plan =
      make_plan(request).value();  // 300 - 200 - 80 bytes of table leave 10 blocks of 2
  EXPECT_EQ(plan.num_kv_blocks, 10);
  EXPECT_EQ(plan.kv_bound, "memory");
}

// The promise of the issue: limits under which an even split would overflow the first device at the
// promised context. 8 layers, embedding as heavy as two layers, 2 devices of 840: evenly, device 0
// holds 4 * 100 + 200 + table + KV.
TEST(Planner, CompletesAContextThatAnEvenSplitWouldOverflow) {
  PlanRequest request = plain_request(8, {840, 840});
  request.sizes.embedding_bytes = 200;
  request.max_model_len = 35;  // even: 600 + 35 * (4 + 4) = 880 > 840
  const SplitCheck even = even_split(request);
  EXPECT_EQ(layers_of(even.devices), (std::vector<int>{4, 4}));
  EXPECT_FALSE(even.holds_promise);
  EXPECT_EQ(even.first_full_device, 0);

  const Plan plan = make_plan(request).value();  // 3 + 5: 500 + 35 * 7 = 745, 500 + 35 * 9 = 815
  EXPECT_EQ(layers_of(plan.devices), (std::vector<int>{3, 5}));
  EXPECT_EQ(plan.num_kv_tokens, 35);
}

TEST(Planner, OneTokenMoreThanTheLargestContextIsRefusedWithNumbers) {
  PlanRequest request = plain_request(8, {840, 840});
  request.sizes.embedding_bytes = 200;
  request.max_model_len = 1000;
  const std::int64_t largest = largest_model_len(request);
  EXPECT_EQ(largest, 37);  // 500 + 37 * 9 = 833; 38 would be 842

  request.max_model_len = largest;
  EXPECT_TRUE(make_plan(request).has_value());
  request.max_model_len = largest + 1;
  const Result<Plan> refused = make_plan(request);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_request);
  EXPECT_NE(refused.error().message.find("--max-model-len 37 or less"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("needs 842 B, 840 B are there"), std::string::npos)
      << refused.error().message;
}

TEST(Planner, LargestContextIsWholeBlocksAndAtMostTheRequested) {
  PlanRequest request = plain_request(2, {300});
  request.sizes.kv_block_size = 16;
  request.max_model_len = 1000;
  // 100 bytes over weights; a block takes 2 bytes of KV and 4 of table: 16 blocks.
  EXPECT_EQ(largest_model_len(request), 256);
  request.max_model_len = 250;
  EXPECT_EQ(largest_model_len(request), 250);
  request.max_model_len = 0;
  EXPECT_EQ(largest_model_len(request), 256);
}

TEST(Planner, WeightsThatDoNotFitAreSaidToBe) {
  PlanRequest request = plain_request(8, {300, 300});
  const Result<Plan> refused = make_plan(request);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("the weights alone do not fit"), std::string::npos)
      << refused.error().message;
  const Refusal refusal = explain_refusal(request);
  EXPECT_EQ(refusal.reason, RefusalReason::weights);
  EXPECT_EQ(refusal.largest_model_len, 0);
  EXPECT_EQ(largest_model_len(request), 0);
  // Two layers each (200 + 4 + 2 of 300): four devices.
  EXPECT_EQ(refusal.num_devices_needed, 4);
  EXPECT_EQ(refusal.every_device_bytes, 400u + 4 + 4);
  // One device keeps two layers, the other takes six.
  EXPECT_EQ(refusal.raise_to_bytes, 600u + 4 + 6);
}

TEST(Planner, KvCacheBytesBelowTheContextIsRefused) {
  PlanRequest request = plain_request(4, {1000, 1000});
  request.max_model_len = 20;
  request.kv_cache_bytes = 79;
  const Result<Plan> refused = make_plan(request);
  ASSERT_FALSE(refused.has_value());
  const Refusal refusal = explain_refusal(request);
  EXPECT_EQ(refusal.reason, RefusalReason::kv_cache_bytes);
  EXPECT_EQ(refusal.kv_bytes_needed, 80u);
  EXPECT_EQ(refusal.largest_model_len, 19);
}

TEST(Planner, SenselessRequestsAreRefused) {
  const auto refused = [](auto change) {
    PlanRequest request = plain_request(2, {1000});
    change(request);
    const Result<Plan> plan = make_plan(request);
    return !plan.has_value() && explain_refusal(request).reason == RefusalReason::bad_request;
  };
  EXPECT_TRUE(refused([](PlanRequest& r) { r.devices.clear(); }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.sizes.layer_weight_bytes.clear(); }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.sizes.layer_kv_bytes_per_block.pop_back(); }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.sizes.kv_block_size = 0; }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.max_model_len = 0; }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.max_model_len = std::int64_t{1} << 40; }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.max_num_seqs = 0; }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.max_num_batched_tokens = 0; }));
  EXPECT_TRUE(refused([](PlanRequest& r) { r.memory_utilization = 1.5; }));
  EXPECT_FALSE(refused([](PlanRequest&) {}));
}

TEST(Planner, AbsurdSizesDoNotWrapAround) {
  PlanRequest request = plain_request(3, {1000, 1000});
  request.sizes.layer_weight_bytes.assign(3, std::numeric_limits<std::uint64_t>::max() / 2);
  request.sizes.layer_kv_bytes_per_block.assign(3, std::numeric_limits<std::uint64_t>::max() / 2);
  request.max_model_len = 1 << 20;
  ASSERT_FALSE(make_plan(request).has_value());
  EXPECT_EQ(explain_refusal(request).reason, RefusalReason::weights);

  // Layers behind those whose sum is no 64-bit number are not for nothing.
  request = plain_request(8, {});
  request.sizes.layer_weight_bytes.assign(8, std::uint64_t{1} << 62);
  const std::uint64_t one_layer_and_more = (std::uint64_t{1} << 63) - (std::uint64_t{1} << 40);
  request.devices.assign(4, {.total_bytes = one_layer_and_more, .free_bytes = one_layer_and_more});
  request.memory_utilization = 1.0;
  EXPECT_FALSE(make_plan(request).has_value());
}

// ---- against all splits
// ----------------------------------------------------------------------------------------

struct Brute {
  std::int64_t blocks = -1;  // the most of any split, capped; -1: no split loads
  double fullest =
      std::numeric_limits<double>::infinity();  // least over the splits that reach `blocks`
};

// Written from the definition, with nothing of the planner's but workspace_bytes and budget_bytes.

std::uint64_t range_weights(const PlanRequest& r, int first, int last) {
  const int num_layers = static_cast<int>(r.sizes.layer_weight_bytes.size());
  std::uint64_t bytes = workspace_bytes(r.sizes, r, last == num_layers);
  for (int i = first; i < last; ++i)
    bytes += r.sizes.layer_weight_bytes[static_cast<std::size_t>(i)];
  if (first == 0) bytes += r.sizes.embedding_bytes;
  if (last == num_layers) bytes += r.sizes.head_bytes;
  return bytes;
}

std::uint64_t range_kv(const PlanRequest& r, int first, int last) {
  std::uint64_t bytes = 0;
  for (int i = first; i < last; ++i)
    bytes += r.sizes.layer_kv_bytes_per_block[static_cast<std::size_t>(i)];
  return bytes;
}

void for_each_split(int num_layers,
                    int num_devices,
                    const std::function<void(const std::vector<int>&)>& visit) {
  std::vector<int> split(static_cast<std::size_t>(num_devices), 0);
  const std::function<void(int, int)> place = [&](int device, int left) {
    if (device + 1 == num_devices) {
      split.back() = left;
      visit(split);
      return;
    }
    for (int take = 0; take <= left; ++take) {
      split[static_cast<std::size_t>(device)] = take;
      place(device + 1, left - take);
    }
  };
  place(0, num_layers);
}

std::int64_t blocks_of_split(const PlanRequest& r,
                             const std::vector<int>& split,
                             std::int64_t cap) {
  std::int64_t blocks = cap;
  int first = 0;
  for (std::size_t d = 0; d < split.size(); ++d) {
    const int last = first + split[d];
    if (last == first) continue;
    const std::uint64_t budget = budget_bytes(r, r.devices[d]);
    const std::uint64_t fixed = range_weights(r, first, last);
    if (fixed > budget) return -1;
    blocks =
        std::min(blocks, static_cast<std::int64_t>((budget - fixed) / range_kv(r, first, last)));
    first = last;
  }
  return blocks;
}

double fullest_of_split(const PlanRequest& r, const std::vector<int>& split, std::int64_t blocks) {
  double fullest = 0;
  int first = 0;
  for (std::size_t d = 0; d < split.size(); ++d) {
    const int last = first + split[d];
    if (last == first) continue;
    const std::uint64_t used = range_weights(r, first, last) +
                               static_cast<std::uint64_t>(blocks) * range_kv(r, first, last);
    fullest = std::max(
        fullest, static_cast<double>(used) / static_cast<double>(budget_bytes(r, r.devices[d])));
    first = last;
  }
  return fullest;
}

Brute try_all_splits(const PlanRequest& r) {
  const std::int64_t promise =
      (r.max_model_len + r.sizes.kv_block_size - 1) / r.sizes.kv_block_size;
  std::int64_t cap = promise * r.max_num_seqs;
  const int num_layers = static_cast<int>(r.sizes.layer_weight_bytes.size());
  if (r.kv_cache_bytes)
    cap = std::min(cap, static_cast<std::int64_t>(*r.kv_cache_bytes / range_kv(r, 0, num_layers)));
  Brute best;
  const int num_devices = static_cast<int>(r.devices.size());
  for_each_split(num_layers, num_devices, [&](const std::vector<int>& split) {
    const std::int64_t blocks = blocks_of_split(r, split, cap);
    if (blocks < 0 || blocks < best.blocks) return;
    if (blocks > best.blocks) best = {blocks, std::numeric_limits<double>::infinity()};
    best.fullest = std::min(best.fullest, fullest_of_split(r, split, blocks));
  });
  return best;
}

PlanRequest random_request(std::mt19937_64& random) {
  const auto between = [&](std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
  };
  PlanRequest r;
  const std::uint64_t num_layers = between(1, 9);
  const bool uniform = between(0, 1) == 0;
  std::uint64_t weights = 0;
  for (std::uint64_t i = 0; i < num_layers; ++i) {
    r.sizes.layer_weight_bytes.push_back(uniform ? 5000 : between(100, 9000));
    r.sizes.layer_kv_bytes_per_block.push_back(uniform ? 64 : between(1, 200));
    weights += r.sizes.layer_weight_bytes.back();
  }
  r.sizes.kv_block_size = static_cast<std::int64_t>(between(1, 16));
  r.sizes.embedding_bytes = between(0, 20000);
  r.sizes.head_bytes = between(0, 20000);
  r.sizes.activation_bytes_per_token = between(0, 20);
  r.sizes.logits_bytes_per_row = between(0, 500);
  r.sizes.step_bytes_per_sequence = between(0, 30);
  r.sizes.fixed_bytes = between(0, 500);
  r.max_model_len = static_cast<std::int64_t>(between(1, 400));
  r.max_num_seqs = static_cast<std::int64_t>(between(1, 8));
  r.max_num_batched_tokens = static_cast<std::int64_t>(between(1, 64));
  r.max_logits_rows = static_cast<std::int64_t>(between(1, 8));
  if (between(0, 4) == 0) r.kv_cache_bytes = between(1, 200000);
  const std::uint64_t num_devices = between(1, 4);
  const std::uint64_t typical =
      (weights + r.sizes.embedding_bytes + r.sizes.head_bytes) / num_devices;
  for (std::uint64_t d = 0; d < num_devices; ++d) {
    DeviceBudget device;
    device.name = "test:" + std::to_string(d);
    device.free_bytes = device.total_bytes = between(typical / 3, typical * 3);
    if (between(0, 1) == 0) device.limit_bytes = between(typical / 3, typical * 3);
    r.devices.push_back(device);
  }
  return r;
}

TEST(PlannerProperty, EqualsTheBestOfAllSplits) {
  const std::uint64_t first_seed = 20240;
  std::cout << "seeds " << first_seed << " to " << first_seed + 999 << "\n";
  int num_plans = 0, num_refusals = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 1000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const PlanRequest request = random_request(random);
    const Brute best = try_all_splits(request);
    const std::int64_t promise =
        (request.max_model_len + request.sizes.kv_block_size - 1) / request.sizes.kv_block_size;
    const Result<Plan> plan = make_plan(request);
    ASSERT_EQ(plan.has_value(), best.blocks >= promise);
    if (!plan) {
      ++num_refusals;
      continue;
    }
    ++num_plans;
    ASSERT_EQ(plan->num_kv_blocks, best.blocks);
    const std::vector<int> split = layers_of(plan->devices);
    ASSERT_EQ(fullest_of_split(request, split, best.blocks), best.fullest);
    // The rows add up: what a device holds and what is unused is its budget.
    for (const DevicePlan& row : plan->devices)
      ASSERT_EQ(row.weight_bytes + row.kv_bytes + row.workspace_bytes + row.unused_bytes,
                row.budget_bytes);
    // The stages cover all layers, in order, with one embedding and one head.
    int next_layer = 0;
    for (const StagePlacement& stage : plan->placement.stages) {
      ASSERT_EQ(stage.first_layer, next_layer);
      ASSERT_GT(stage.num_layers, 0);
      ASSERT_EQ(stage.has_embedding, stage.first_layer == 0);
      next_layer += stage.num_layers;
      ASSERT_EQ(stage.has_head,
                next_layer == static_cast<int>(request.sizes.layer_weight_bytes.size()));
    }
    ASSERT_EQ(next_layer, static_cast<int>(request.sizes.layer_weight_bytes.size()));
  }
  // Both outcomes must be common, or the comparison above says little.
  EXPECT_GT(num_plans, 200);
  EXPECT_GT(num_refusals, 200);
}

TEST(PlannerProperty, RemediesAreEnoughAndLessIsNot) {
  const std::uint64_t first_seed = 777;
  std::cout << "seeds " << first_seed << " to " << first_seed + 499 << "\n";
  int num_lengths = 0, num_raises = 0, num_counts = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const PlanRequest request = random_request(random);
    if (make_plan(request)) continue;
    const Refusal refusal = explain_refusal(request);

    PlanRequest shorter = request;
    shorter.max_model_len = refusal.largest_model_len;
    if (refusal.largest_model_len > 0) {
      ASSERT_TRUE(make_plan(shorter).has_value());
      ++num_lengths;
    }
    shorter.max_model_len += 1;
    ASSERT_FALSE(make_plan(shorter).has_value());

    PlanRequest changed = request;
    if (refusal.reason == RefusalReason::kv_cache_bytes) {
      changed.kv_cache_bytes = refusal.kv_bytes_needed;
      ASSERT_TRUE(make_plan(changed).has_value());
      changed.kv_cache_bytes = refusal.kv_bytes_needed - 1;
      ASSERT_FALSE(make_plan(changed).has_value());
      continue;
    }
    changed.kv_cache_bytes
        .reset();  // may be too small as well, which the memory remedies do not speak of
    const auto with_budget = [&](std::vector<DeviceBudget> devices) {
      PlanRequest other = changed;
      other.devices = std::move(devices);
      return make_plan(other).has_value();
    };
    const auto device_of = [](std::uint64_t bytes) {
      return DeviceBudget{.free_bytes = bytes, .limit_bytes = bytes};
    };
    const std::size_t num_devices = request.devices.size();
    ASSERT_TRUE(with_budget({num_devices, device_of(refusal.every_device_bytes)}));
    ASSERT_FALSE(with_budget({num_devices, device_of(refusal.every_device_bytes - 1)}));

    ASSERT_GE(refusal.raise_device, 0);
    const auto raised = static_cast<std::size_t>(refusal.raise_device);
    const std::uint64_t extra =
        refusal.raise_to_bytes - budget_bytes(request, request.devices[raised]);
    for (std::size_t d = 0; d < num_devices; ++d) {
      std::vector<DeviceBudget> devices = request.devices;
      const std::uint64_t before = budget_bytes(request, devices[d]);
      devices[d] = device_of(before + extra - 1);
      ASSERT_FALSE(with_budget(devices)) << "less is enough on device " << d;
      devices[d] = device_of(before + extra);
      if (d == raised) {
        ASSERT_TRUE(with_budget(devices));
      }
    }
    ++num_raises;

    const auto count = static_cast<std::size_t>(refusal.num_devices_needed);
    if (count > 0) {
      ASSERT_TRUE(with_budget({count, device_of(refusal.largest_budget_bytes)}));
      ++num_counts;
      if (count > 1) {
        ASSERT_FALSE(with_budget({count - 1, device_of(refusal.largest_budget_bytes)}));
      }
    }
  }
  EXPECT_GT(num_lengths, 50);
  EXPECT_GT(num_raises, 50);
  EXPECT_GT(num_counts, 50);
}

}  // namespace
}  // namespace fastchat::parallel
