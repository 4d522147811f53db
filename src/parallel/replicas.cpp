#include "parallel/replicas.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace fastchat::parallel {
namespace {

Result<ReplicaPlan> plan_copies(const PlanRequest& request, int num_replicas) {
  ReplicaPlan planned;
  const int size = static_cast<int>(request.devices.size()) / num_replicas;
  for (int index = 0; index < num_replicas; ++index) {
    Replica replica{
        .devices = {}, .request = request_of_replica(request, num_replicas, index), .plan = {}};
    for (int i = 0; i < size; ++i) replica.devices.push_back(index * size + i);
    Result<Plan> plan = make_plan(replica.request);
    if (!plan) return plan.error();
    replica.plan = std::move(plan).value();
    planned.replicas.push_back(std::move(replica));
  }
  return planned;
}

double estimated_s(const ReplicaPlan& planned) {
  double slowest = 0;
  for (const Replica& replica : planned.replicas)
    slowest = std::max(slowest, replica.plan.speed.estimated_s);
  return slowest;
}

/// Of a request that plan_replicas refuses: that of the first copy without a plan.
PlanRequest refused_request(const PlanRequest& request, int num_replicas) {
  for (int i = 0; i < num_replicas; ++i) {
    PlanRequest part = request_of_replica(request, num_replicas, i);
    if (!make_plan(part)) return part;
  }
  return request;
}

/// Leaves what is a remedy for `other` too.
void restrict_to(const Refusal& other, Refusal& refusal) {
  refusal.largest_model_len = std::min(refusal.largest_model_len, other.largest_model_len);
  refusal.raise_device = -1;
  refusal.every_device_bytes = std::max(refusal.every_device_bytes, other.every_device_bytes);
  refusal.kv_bytes_needed = std::max(refusal.kv_bytes_needed, other.kv_bytes_needed);
  refusal.num_devices_needed = refusal.num_devices_needed == 0 || other.num_devices_needed == 0
                                   ? 0
                                   : std::max(refusal.num_devices_needed, other.num_devices_needed);
}

bool is_free_choice(const ParallelRequest& request) {
  return request.mode == ParallelMode::automatic && request.pipeline_size == 0 &&
         request.tensor_size == 0;
}

}  // namespace

PlanRequest request_of_replica(const PlanRequest& request, int num_replicas, int index) {
  PlanRequest part = request;
  const auto size = static_cast<std::ptrdiff_t>(request.devices.size()) / num_replicas;
  const auto first = request.devices.begin() + index * size;
  part.devices.assign(first, first + size);
  part.num_copies = num_replicas;
  part.first_device = static_cast<int>(index * size);
  part.workload.num_streams = (request.workload.num_streams + num_replicas - 1) / num_replicas;
  if (part.kv_cache_bytes) *part.kv_cache_bytes /= static_cast<std::uint64_t>(num_replicas);
  return part;
}

ReplicaRefusal explain_refusal(const PlanRequest& request, int num_replicas) {
  ReplicaRefusal found;
  found.request = refused_request(request, num_replicas);
  found.refusal = explain_refusal(found.request);
  if (num_replicas < 2 || found.refusal.reason == RefusalReason::bad_request) return found;
  for (int i = 0; i < num_replicas; ++i) {
    const PlanRequest part = request_of_replica(request, num_replicas, i);
    if (part.first_device == found.request.first_device || make_plan(part)) continue;
    restrict_to(explain_refusal(part), found.refusal);
  }
  const int num_devices = static_cast<int>(request.devices.size());
  for (int fewer = num_replicas - 1; fewer > 0 && found.refusal.fewer_copies == 0; --fewer)
    if (num_devices % fewer == 0 && plan_copies(request, fewer)) found.refusal.fewer_copies = fewer;
  return found;
}

std::string to_text(const ReplicaPlan& planned, ChooseText choose) {
  if (planned.replicas.size() == 1)
    return to_text(planned.replicas.front().plan, planned.replicas.front().request, choose);
  std::string out;
  for (std::size_t i = 0; i < planned.replicas.size(); ++i) {
    out += fmt::format(
        fmt::runtime(choose("Copy {} of {}:\n", "副本 {}/{}：\n")), i + 1, planned.replicas.size());
    out += to_text(planned.replicas[i].plan, planned.replicas[i].request, choose);
  }
  return out;
}

nlohmann::json to_json(const ReplicaPlan& planned) {
  nlohmann::json result = to_json(planned.replicas.front().plan, planned.replicas.front().request);
  result["data_parallel_size"] = planned.replicas.size();
  nlohmann::json& considered = result["considered_copies"] = nlohmann::json::array();
  for (const ReplicaEstimate& copies : planned.considered)
    considered.push_back(
        {{"data_parallel_size", copies.num_replicas},
         {"fits", copies.fits},
         {"estimated_s",
          copies.fits ? nlohmann::json(copies.estimated_s) : nlohmann::json(nullptr)}});
  if (planned.replicas.size() == 1) return result;
  nlohmann::json& all = result["replicas"] = nlohmann::json::array();
  for (const Replica& replica : planned.replicas) {
    nlohmann::json one = to_json(replica.plan, replica.request);
    one["device_positions"] = replica.devices;
    all.push_back(std::move(one));
  }
  return result;
}

Result<ReplicaPlan> plan_replicas(const PlanRequest& request, int num_replicas) {
  const int num_devices = static_cast<int>(request.devices.size());
  if (num_replicas > 0 && (num_replicas > num_devices || num_devices % num_replicas != 0))
    return Error{ErrorCode::invalid_request,
                 fmt::format("--data-parallel-size {}: {} device(s) cannot be shared equally by {} "
                             "copies; use a divisor of the number of devices",
                             num_replicas,
                             num_devices,
                             num_replicas)};
  if (num_replicas > 0 || num_devices < 2 || !is_free_choice(request.parallel) ||
      request.shared_memory)
    return plan_copies(request, std::max(num_replicas, 1));
  Result<ReplicaPlan> best = plan_copies(request, 1);
  std::vector<ReplicaEstimate> considered = {
      {.num_replicas = 1,
       .fits = best.has_value(),
       .estimated_s = best ? estimated_s(best.value()) : 0.0}};
  for (int copies = 2; copies <= num_devices; ++copies) {
    if (num_devices % copies != 0) continue;
    Result<ReplicaPlan> plan = plan_copies(request, copies);
    considered.push_back({.num_replicas = copies,
                          .fits = plan.has_value(),
                          .estimated_s = plan ? estimated_s(plan.value()) : 0.0});
    if (plan && (!best || estimated_s(plan.value()) * kNearTie < estimated_s(best.value())))
      best = std::move(plan);
  }
  if (best) best->considered = std::move(considered);
  return best;
}

}  // namespace fastchat::parallel
