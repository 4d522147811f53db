// What the environment says about the machine that is emulated: cards, memory, SoC, delays, speed.
// Read once.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace emulator {

/// Facts of a chip that clients can ask for.
struct Soc {
  std::string name;
  int64_t cube_cores;
  int64_t vector_cores;
  int64_t l2_bytes;
  bool has_bf16;
  bool has_hbm;  // or DDR
};

enum class Mode { compute, paced };

/// FASTCHAT_EMULATOR_<NAME>. A value that cannot be read ends the process with a message: a test
/// tool must not guess.
struct Settings {
  int num_cards = 8;  // CARDS
  std::vector<uint64_t>
      memory_bytes;  // MEMORY: "64GiB", or one value a card; what aclrtGetMemInfo calls total
  std::vector<uint64_t> taken_bytes;    // TAKEN: held by other processes, likewise; none
  Soc soc;                              // SOC: "Ascend910B1"
  std::optional<uint64_t> delay_seed;   // DELAY_SEED: random waits before tasks
  std::chrono::microseconds max_delay;  // DELAY_US: the longest of them; 300
  std::string report_path;              // REPORT: where the JSON report goes at exit
  Mode mode = Mode::compute;            // MODE: "compute" or "paced"
  double dilation = 20;                 // DILATION: wall seconds per simulated second; 0: no waits
  double launch_cost = 1;               // LAUNCH_COST: factor on what launches and gaps cost
  std::string timeline_path;            // TIMELINE: where the picture of the cards' time goes
  bool ignores_updates = false;         // IGNORE_UPDATES: a fault, see README.md
  int max_streams;                      // STREAMS: per card, graphs included; 1984
  int max_events;                       // EVENTS: per card; 65536
  /// HCCL_TIMEOUT_MS: replaces HCCL_CONNECT_TIMEOUT and HCCL_EXEC_TIMEOUT, whose least values are
  /// too long for tests.
  std::optional<std::chrono::milliseconds> hccl_timeout;
};

const Settings& settings();
/// Whether operators take their modelled time and compute nothing.
inline bool paced() { return settings().mode == Mode::paced; }

/// "64GiB", "512 MiB", "1000000" (bytes). Nothing when it is none of these.
std::optional<uint64_t> parse_bytes(const std::string& text);

/// The environment variable, or `fallback` when it is unset or empty.
std::string environment(const char* name, const std::string& fallback = "");

}  // namespace emulator
