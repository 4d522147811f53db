#include "emulator/costs.h"

#include <algorithm>
#include <array>
#include <utility>

#include "emulator/settings.h"

namespace emulator {
namespace {

constexpr double kTera = 1e12;
constexpr double kGiga = 1e9;
constexpr double kAttained = 0.75;  // of the matrix peak

constexpr Simulated kGap{1.5e-6};
constexpr Simulated kLaunch{15e-6};
constexpr Simulated kGraphLaunch{30e-6};
constexpr Simulated kCopyLatency{10e-6};
constexpr Simulated kAivLatency{15e-6};
constexpr Simulated kHostLatency{40e-6};

CardSpeed speed(double memory_tb, double matrix_tflops, double host_gb, double peer_gb) {
  return {memory_tb * kTera, matrix_tflops * kTera * kAttained, host_gb * kGiga, peer_gb * kGiga};
}

}  // namespace

double link_share(Volume volume, size_t num_ranks) {
  const auto n = static_cast<double>(num_ranks);
  switch (volume) {
    case Volume::all_reduce:
      return 2 * (n - 1) / n;
    case Volume::gather:
      return (n - 1) / n;
    case Volume::whole:
      return num_ranks > 1 ? 1 : 0;
    case Volume::none:
      break;
  }
  return 0;
}

CardSpeed card_speed(const std::string& soc) {
  static const std::array<std::pair<const char*, CardSpeed>, 6> kSpeeds{{
      {"Ascend910B1", speed(1.47, 364, 22, 150)},
      {"Ascend910B2", speed(1.47, 354, 22, 150)},
      {"Ascend910B3", speed(1.47, 295, 22, 150)},
      {"Ascend910B4", speed(0.74, 246, 22, 150)},
      {"Ascend910_9391", speed(1.47, 364, 22, 150)},
      {"Ascend310P3", speed(0.19, 69, 12, 12)},
  }};
  for (const auto& [name, found] : kSpeeds) {
    if (soc == name) return found;
  }
  return kSpeeds[0].second;
}

Costs::Costs(CardSpeed speed, double launch_cost)
    : speed_(speed),
      gap_(kGap * launch_cost),
      launch_(kLaunch * launch_cost),
      graph_launch_(kGraphLaunch * launch_cost) {}

Simulated Costs::operation(const Work& work) const {
  const double memory = work.bytes / speed_.memory_bytes;
  const double matrix = (work.flops + work.int8_flops / 2) / speed_.matrix_flops;
  return Simulated(std::max(memory, matrix)) + gap_;
}

Simulated Costs::host_copy(double bytes) const {
  return Simulated(bytes / speed_.host_bytes) + kCopyLatency;
}

Simulated Costs::peer_copy(double bytes) const {
  return Simulated(bytes / speed_.peer_bytes) + kCopyLatency;
}

Simulated Costs::card_copy(double bytes) const { return operation({.bytes = bytes}); }

Simulated Costs::collective(Volume volume, double bytes, size_t num_ranks, bool aiv) const {
  return (aiv ? kAivLatency : kHostLatency) +
         Simulated(bytes * link_share(volume, num_ranks) / speed_.peer_bytes);
}

const Costs& costs() {
  static const Costs& of_settings = *new Costs(card_speed(settings().soc.name),
                                               settings().launch_cost);  // outlives every thread
  return of_settings;
}

bool vector_cores_by_default() {
  static const bool kByDefault = environment("HCCL_OP_EXPANSION_MODE") == "AIV";
  return kByDefault;
}

}  // namespace emulator
