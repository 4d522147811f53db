#include "emulator/report.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "emulator/address_space.h"
#include "emulator/op.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"

namespace emulator {

void write_report() {
  const std::string& path = settings().report_path;
  if (path.empty()) return;
  Runtime& state = runtime();
  nlohmann::json cards = nlohmann::json::array();
  {
    const std::lock_guard lock(state.mutex);
    for (const auto& card : state.cards) {
      uint64_t operations = 0;
      for (const auto& [name, count] : card->operations) operations += count;
      cards.push_back({{"card", card->id},
                       {"memory_bytes", card->memory_bytes},
                       {"taken_bytes", card->taken_bytes},
                       {"peak_bytes", card->peak_bytes},
                       {"touched_bytes", touched_bytes(card->id).total.load()},
                       {"streams_created", card->streams_created},
                       {"operations_run", operations},
                       {"operations", card->operations}});
    }
  }
  const nlohmann::json report = {{"cann", cann_version()}, {"soc", soc_name()}, {"cards", cards}};
  std::ofstream file(path);
  file << report.dump(2) << "\n";
  if (!file.flush()) fmt::print(stderr, "[emulator] the report could not be written to {}\n", path);
}

}  // namespace emulator
