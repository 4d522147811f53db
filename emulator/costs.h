// What work costs in modelled time: constants of a card, and how tasks follow from them.
#pragma once

#include <cstddef>
#include <string>

#include "emulator/clock.h"

namespace emulator {

/// Rates are per second: bytes, operations.
struct CardSpeed {
  double memory_bytes;  // attained
  double matrix_flops;  // of 16-bit products, attained; 8-bit ones are twice as fast
  double host_bytes;    // over the link to the host, pinned
  double peer_bytes;    // over the links to other cards
};

/// Of a SoC of settings.h.
CardSpeed card_speed(const std::string& soc);

/// What an operator does.
struct Work {
  double bytes = 0;       // read and written in the card's memory
  double flops = 0;       // of 16-bit products
  double int8_flops = 0;  // of 8-bit products
};

/// How the cards of a collective share it.
enum class Volume { all_reduce, gather, whole, none };
/// Bytes that pass a card's link, as a share of the buffer, when a ring carries it.
double link_share(Volume volume, size_t num_ranks);

/// Modelled durations.
class Costs {
 public:
  /// `launch_cost`: factor on launches and gaps.
  Costs(CardSpeed speed, double launch_cost);

  /// A task of an operator: what bounds it, and the gap to the next.
  Simulated operation(const Work& work) const;
  Simulated host_copy(double bytes) const;
  Simulated peer_copy(double bytes) const;
  /// Inside one card, or a fill: `bytes` read and written.
  Simulated card_copy(double bytes) const;
  /// From when all ranks are there. `bytes`: of the whole buffer (what is reduced; what is
  /// gathered from, or scattered to, all).
  /// `aiv`: it runs on the vector cores instead of being driven by the host.
  Simulated collective(Volume volume, double bytes, size_t num_ranks, bool aiv) const;

  /// What the calling thread spends on both phases of an operator, or on a collective; on a graph.
  Simulated launch() const { return launch_; }
  Simulated graph_launch() const { return graph_launch_; }

 private:
  CardSpeed speed_;
  Simulated gap_, launch_, graph_launch_;
};

/// Of the settings.
const Costs& costs();
/// HCCL_OP_EXPANSION_MODE=AIV: what communicators do whose configuration does not say.
bool vector_cores_by_default();

}  // namespace emulator
