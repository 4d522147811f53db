// What keeps Ascend cards from working, from the facts that the host and the runtime show.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/choose_text.h"
#include "device/ascend/host_facts.h"
#include "device/device.h"

namespace fastchat::device::ascend {

/// A visible card, as asked through the runtime.
struct CardState {
  int physical_index = 0;
  std::string failure;  // the runtime's words where the card does not open; empty when it does
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // by this process
};

struct RuntimeState {
  std::string failure;            // why there are no cards, in the words of loader or runtime
  std::string cann_version_text;  // "8.3.RC1"
  std::string cann_path;
  std::string driver_version;  // as the runtime says; empty = it does not
  std::string soc;             // "Ascend910B3"; empty = not known
  std::vector<CardState> cards;
};

/// The driver's version as the host or the runtime says; empty = neither does.
const std::string& driver_version(const HostFacts& facts, const RuntimeState& runtime);

/// Versions, paths, nodes and mask, as far as they are known.
std::vector<Fact> list_facts(const HostFacts& facts,
                             const RuntimeState& runtime,
                             ChooseText choose);

/// Most likely cause first. Those that block come only when no card, or not every card, works; a
/// machine without cards gets at least one.
std::vector<Finding> judge(const HostFacts& facts, const RuntimeState& runtime, ChooseText choose);

}  // namespace fastchat::device::ascend
