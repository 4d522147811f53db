// Whole copies of a model: how many, and on which devices.
#include "parallel/replicas.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

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

  const nlohmann::json considered = to_json(plan)["considered_copies"];
  ASSERT_EQ(considered.size(), 3u);
  EXPECT_EQ(considered[1]["data_parallel_size"], 2);
  EXPECT_EQ(considered[1]["estimated_s"], plan.considered[1].estimated_s);
  EXPECT_FALSE(considered[2]["fits"]);
  EXPECT_TRUE(considered[2]["estimated_s"].is_null());
}

TEST(Replicas, ANumberThatIsAskedForIsTakenOrRefused) {
  const PlanRequest request = request_for({kAmple, kAmple, 10000, 10000}, 1);
  EXPECT_EQ(plan_replicas(request, 2).value().replicas.size(), 2u);
  EXPECT_EQ(plan_replicas(request, 3).error().code, ErrorCode::invalid_request);
  EXPECT_EQ(plan_replicas(request, 8).error().code, ErrorCode::invalid_request);
  ASSERT_FALSE(plan_replicas(request, 4));
  // The copy that has no room is the one that is explained.
  const ReplicaRefusal refused = explain_refusal(request, 4);
  EXPECT_EQ(refused.request.devices.front().name, "test:2");
  EXPECT_NE(to_text(refused.refusal, refused.request).find("device 2 test:2"), std::string::npos);
}

TEST(Replicas, RemediesAreThoseOfEveryCopy) {
  const auto with = [](std::vector<std::uint64_t> free_bytes) {
    PlanRequest request = request_for(std::move(free_bytes), 1);
    request.memory_utilization = 1;
    return request;
  };
  const PlanRequest request = with({9000, 9000, 9000, 8800});
  const ReplicaRefusal refused = explain_refusal(request, 4);
  EXPECT_EQ(refused.refusal.raise_device, -1);  // one is not enough
  EXPECT_EQ(refused.refusal.fewer_copies, 2);
  const std::uint64_t every = refused.refusal.every_device_bytes;
  EXPECT_TRUE(plan_replicas(with({every, every, every, every}), 4));
  EXPECT_FALSE(plan_replicas(with({every, every, every, every - 1}), 4));
  const std::string message = to_text(refused.refusal, refused.request);
  EXPECT_NE(message.find("with 4 copies, 1 device(s) each, "), std::string::npos) << message;
  EXPECT_NE(message.find("(--data-parallel-size 2)"), std::string::npos) << message;
  EXPECT_NE(message.find("2 devices for each copy, of"), std::string::npos) << message;
  EXPECT_NE(message.find("(--num-gpus 8)"), std::string::npos) << message;
}

TEST(Replicas, KvBytesThatAreTooFewAreSaidForAllCopies) {
  PlanRequest request = request_for({kAmple, kAmple}, 1);
  request.kv_cache_bytes = 100;
  ASSERT_FALSE(plan_replicas(request, 2));
  const ReplicaRefusal refused = explain_refusal(request, 2);
  const auto needed =
      to_json(refused.refusal, refused.request)["remedies"]["kv_cache_bytes"].get<std::uint64_t>();
  request.kv_cache_bytes = needed;
  EXPECT_TRUE(plan_replicas(request, 2));
  request.kv_cache_bytes = needed - 2;
  EXPECT_FALSE(plan_replicas(request, 2));
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
