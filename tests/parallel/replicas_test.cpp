// Whole copies of a model: how many, and on which devices.
#include "parallel/replicas.h"

#include <gtest/gtest.h>

namespace fastchat::parallel {
namespace {

/// A model of 8 layers of 1000 bytes on cards that read 1000 bytes a second.
PlanRequest request_for(std::vector<std::uint64_t> free_bytes, std::int64_t num_streams) {
  PlanRequest request;
  request.sizes.layer_weight_bytes.assign(8, 1000);
  request.sizes.layer_kv_bytes_per_block.assign(8, 1);
  request.sizes.kv_block_size = 1;
  request.sizes.layer_flops_per_token = 1;
  for (std::size_t i = 0; i < free_bytes.size(); ++i)
    request.devices.push_back({.name = "test:" + std::to_string(i),
                               .total_bytes = free_bytes[i],
                               .free_bytes = free_bytes[i],
                               .speed = {.read_bytes_per_s = 1e3, .flops_per_s = 1e6}});
  request.parallel.mode = ParallelMode::automatic;
  request.has_collectives = false;
  request.max_model_len = 16;
  request.max_num_seqs = 64;
  request.max_num_batched_tokens = 64;
  request.workload = {.num_streams = num_streams, .prompt_len = 4, .gen_len = 8};
  return request;
}

constexpr std::uint64_t kAmple = 1 << 20;

TEST(Replicas, ManyStreamsAreSharedByCopies) {
  const ReplicaPlan plan =
      plan_replicas(request_for({kAmple, kAmple, kAmple, kAmple}, 64), 0).value();
  ASSERT_EQ(plan.replicas.size(), 4u);
  EXPECT_EQ(plan.replicas[2].devices, std::vector<int>{2});
  EXPECT_EQ(plan.replicas[2].request.workload.num_streams, 16);
  EXPECT_EQ(plan.considered.size(), 3u);
}

TEST(Replicas, OneStreamNeedsNoCopies) {
  EXPECT_EQ(plan_replicas(request_for({kAmple, kAmple}, 1), 0).value().replicas.size(), 1u);
}

TEST(Replicas, CopiesThatDoNotFitAreNotChosen) {
  // Two cards hold the model, one does not.
  const ReplicaPlan plan = plan_replicas(request_for({10000, 10000, 10000, 10000}, 64), 0).value();
  EXPECT_EQ(plan.replicas.size(), 2u);
  EXPECT_EQ(plan.replicas[1].devices, (std::vector<int>{2, 3}));
  EXPECT_FALSE(plan.considered.back().fits);
}

TEST(Replicas, ANumberThatIsAskedForIsTakenOrRefused) {
  const PlanRequest request = request_for({kAmple, kAmple, 10000, 10000}, 1);
  EXPECT_EQ(plan_replicas(request, 2).value().replicas.size(), 2u);
  EXPECT_EQ(plan_replicas(request, 3).error().code, ErrorCode::invalid_request);
  EXPECT_EQ(plan_replicas(request, 8).error().code, ErrorCode::invalid_request);
  ASSERT_FALSE(plan_replicas(request, 4));
  // The copy that has no room is the one that is explained.
  EXPECT_EQ(refused_request(request, 4).devices.front().name, "test:2");
}

TEST(Replicas, AModeThatIsAskedForIsOneCopy) {
  PlanRequest request = request_for({kAmple, kAmple}, 64);
  request.parallel.mode = ParallelMode::pipeline;
  EXPECT_EQ(plan_replicas(request, 0).value().replicas.size(), 1u);
}

TEST(Replicas, KvBytesAreOfAllCopiesTogether) {
  PlanRequest request = request_for({kAmple, kAmple}, 64);
  request.kv_cache_bytes = 1000;
  const ReplicaPlan plan = plan_replicas(request, 2).value();
  for (const Replica& replica : plan.replicas) EXPECT_LE(replica.plan.num_kv_blocks * 8, 500);
}

}  // namespace
}  // namespace fastchat::parallel
