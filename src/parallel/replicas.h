// Data parallelism: whole copies of a model on groups of devices of their own.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "parallel/planner.h"

namespace fastchat::parallel {

/// One copy: a plan of its own for `devices`, positions in the request's list.
struct Replica {
  std::vector<int> devices;
  PlanRequest request;  // for these devices, and its part of the streams
  Plan plan;            // of `request`
};

/// A number of copies that was considered.
struct ReplicaEstimate {
  int num_replicas = 1;
  bool fits = false;
  double estimated_s = 0.0;  // of the whole workload, the slowest copy's; where it fits
};

struct ReplicaPlan {
  std::vector<Replica> replicas;
  std::vector<ReplicaEstimate> considered;  // where there was a choice
};

/// The request of copy `index` of `num_replicas`, which divides the number of devices: as many
/// consecutive devices for each, and its part of the streams and of the KV bytes.
PlanRequest request_of_replica(const PlanRequest& request, int num_replicas, int index);

/// Plans `num_replicas` copies; 0: as many as are estimated fastest for the workload, one where the
/// request asks for a mode or a size. Near ties go to the fewest. Errors as make_plan; and
/// (invalid_request) a number of devices that cannot be shared equally.
Result<ReplicaPlan> plan_replicas(const PlanRequest& request, int num_replicas);

struct ReplicaRefusal {
  PlanRequest request;  // of the first copy without a plan
  Refusal refusal;      // of that one
};

/// Why plan_replicas refuses `request`; call only when it does.
ReplicaRefusal explain_refusal(const PlanRequest& request, int num_replicas);

/// As those of one plan, copy by copy; as JSON the first copy's with "data_parallel_size" and
/// "considered_copies", and all under "replicas" where there are several.
std::string to_text(const ReplicaPlan& planned, ChooseText choose = in_english);
nlohmann::json to_json(const ReplicaPlan& planned);

}  // namespace fastchat::parallel
