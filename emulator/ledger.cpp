#include "emulator/ledger.h"

#include "emulator/settings.h"

namespace emulator {
namespace {

void append(std::vector<Interval>& intervals, const Interval& next) {
  if (!intervals.empty() && intervals.back().end == next.begin) {
    intervals.back().end = next.end;
  } else {
    intervals.push_back(next);
  }
}

}  // namespace

void Ledger::note(const Entry& entry) {
  const Settings& read = settings();
  if (read.report_path.empty() && read.timeline_path.empty()) return;
  const bool is_copy = entry.kind == TaskKind::copy;
  if (is_copy && !paced()) return;
  const std::lock_guard lock(mutex_);
  auto& totals = is_copy ? record_.copies : record_.operations;
  const auto found = totals.try_emplace(entry.name).first;
  ++found->second.runs;
  if (!paced()) return;
  found->second.time += entry.time.end - entry.time.begin;
  record_.route_bytes[static_cast<size_t>(entry.route)] += entry.bytes;
  append(record_.busy[entry.stream], entry.time);
  if (entry.route == Route::host_to_card && entry.bytes >= kLoadBytes)
    append(record_.loads, entry.time);
  if (read.timeline_path.empty()) return;
  if (record_.bars.size() == kMaxBars) {
    record_.bars.pop_front();
    ++record_.dropped_bars;
  }
  record_.bars.push_back({entry.kind, &found->first, entry.stream, entry.time});
}

}  // namespace emulator
