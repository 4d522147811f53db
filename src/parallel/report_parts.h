// What the reports of plans and of refusals have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "parallel/planner.h"

namespace fastchat::parallel {

/// Texts in the reader's language.
class Speaker {
 public:
  explicit Speaker(ChooseText choose) : choose_(choose) {}
  std::string_view operator()(std::string_view english, std::string_view chinese) const {
    return choose_(english, chinese);
  }
  template <typename... Args>
  std::string say(std::string_view english, std::string_view chinese, const Args&... args) const {
    return fmt::format(fmt::runtime(choose_(english, chinese)), args...);
  }

 private:
  ChooseText choose_;
};

/// The device that a row speaks of.
const DeviceBudget& budget_of(const PlanRequest& request, const DevicePlan& row);
/// Weights, KV and workspace.
std::uint64_t needed_bytes(const DevicePlan& row);

/// "none", "3", "0-13".
std::string layer_range(const DevicePlan& row, const Speaker& in);
/// "embedding, head, tensors 1/2".
std::string extras(const DevicePlan& row, int tensor_size, const Speaker& in);
/// "0 npu:0": its position among the devices of all copies, and its name.
std::string device_label(const PlanRequest& request, const DevicePlan& row);

/// Why a device holds nothing.
std::string left_out_because(const PlanRequest& request, const DevicePlan& row, const Speaker& in);

bool any_described(const PlanRequest& request);
nlohmann::json devices_json(const PlanRequest& request, const std::vector<DevicePlan>& rows);
nlohmann::json bounds_json(const PlanRequest& request);

}  // namespace fastchat::parallel
