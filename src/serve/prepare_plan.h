// From flags to a plan request: what a model weighs, and what its devices have.
#pragma once

#include "device/device.h"
#include "parallel/refusal_text.h"
#include "serve/model_instance.h"

#include <memory>

namespace fastchat::serve {

enum class DeviceMemory {
  present,    // what this machine has now
  as_limits,  // --max-gpu-memory taken at its word where it exceeds that: a plan about sizes only
};

/// prepare_plan of model_instance.h is this one with DeviceMemory::present. Opens no device.
PlannedModel prepare_plan(const ModelOptions& options,
                          device::Platform& platform,
                          DeviceMemory memory);

/// What remedies of a refusal of `planned` must respect here: what cards there are and what they
/// have, and whether weights in 8 bits would fit. The other arguments are those of prepare_plan.
parallel::Surroundings surroundings_of(const ModelOptions& options,
                                       device::Platform& platform,
                                       const PlannedModel& planned,
                                       DeviceMemory memory);

/// Devices of a kind that this version or machine lacks, for plans of what --max-gpu-memory
/// describes. They have no memory of their own and do not open.
std::unique_ptr<device::Platform> describe_platform(const ModelOptions& options,
                                                    device::DeviceKind kind);

}  // namespace fastchat::serve
