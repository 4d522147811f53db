#include "emulator/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "emulator/address_space.h"
#include "emulator/op.h"
#include "emulator/runtime.h"
#include "emulator/settings.h"
#include "emulator/timeline.h"

namespace emulator {
namespace {

using Json = nlohmann::json;

void unite(std::vector<Interval>& intervals) {
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) {
    return a.begin < b.begin;
  });
  std::vector<Interval> united;
  for (const Interval& next : intervals) {
    if (!united.empty() && next.begin <= united.back().end) {
      united.back().end = std::max(united.back().end, next.end);
    } else {
      united.push_back(next);
    }
  }
  intervals = std::move(united);
}

// Intervals united and in order, within `span`.
Simulated time_within(const std::vector<Interval>& intervals, const Interval& span) {
  Simulated sum{0};
  for (const Interval& one : intervals) {
    const Simulated begin = std::max(one.begin, span.begin);
    const Simulated end = std::min(one.end, span.end);
    if (begin < end) sum += end - begin;
  }
  return sum;
}

// From the first task of any card to the last.
Interval span_of(const std::vector<std::vector<Interval>>& busy) {
  Interval span;
  bool is_first = true;
  for (const auto& intervals : busy) {
    if (intervals.empty()) continue;
    span.begin = is_first ? intervals.front().begin : std::min(span.begin, intervals.front().begin);
    span.end = is_first ? intervals.back().end : std::max(span.end, intervals.back().end);
    is_first = false;
  }
  return span;
}

// A stretch in which nothing is loaded, and what the cards do in it.
struct Stretch {
  Interval bounds;
  Interval worked;  // first to last task
  Simulated busy{0};
};

std::vector<Stretch> stretches_between(const Interval& span, std::vector<Interval> loads) {
  unite(loads);
  std::vector<Stretch> stretches;
  Simulated begin = span.begin;
  for (const Interval& load : loads) {
    if (begin < load.begin) stretches.push_back({.bounds = {begin, load.begin}});
    begin = load.end;
  }
  stretches.push_back({.bounds = {begin, span.end}});
  return stretches;
}

void add_busy(std::vector<Stretch>& stretches, const Interval& busy) {
  auto at = std::partition_point(stretches.begin(), stretches.end(), [&](const Stretch& one) {
    return one.bounds.end <= busy.begin;
  });
  for (; at != stretches.end() && at->bounds.begin < busy.end; ++at) {
    const Interval part{std::max(at->bounds.begin, busy.begin), std::min(at->bounds.end, busy.end)};
    const bool is_first = at->busy.count() == 0;
    at->worked.begin = is_first ? part.begin : std::min(at->worked.begin, part.begin);
    at->worked.end = is_first ? part.end : std::max(at->worked.end, part.end);
    at->busy += part.end - part.begin;
  }
}

// The stretch with the most work: what a server does once its weights are there.
Interval steady_of(const Interval& span,
                   const std::vector<std::vector<Interval>>& busy,
                   std::vector<Interval> loads) {
  std::vector<Stretch> stretches = stretches_between(span, std::move(loads));
  for (const auto& intervals : busy) {
    for (const Interval& one : intervals) add_busy(stretches, one);
  }
  return std::max_element(stretches.begin(),
                          stretches.end(),
                          [](const Stretch& a, const Stretch& b) { return a.busy < b.busy; })
      ->worked;
}

Json totals_json(const std::map<std::string, Ledger::Total>& totals) {
  Json json = Json::object();
  for (const auto& [name, total] : totals)
    json[name] = {{"runs", total.runs}, {"seconds", total.time.count()}};
  return json;
}

Json span_json(const Interval& span) {
  return {{"begin", span.begin.count()},
          {"end", span.end.count()},
          {"seconds", (span.end - span.begin).count()}};
}

Json share_json(const std::vector<Interval>& busy, const Interval& span) {
  const Simulated seconds = span.end - span.begin;
  return seconds.count() == 0 ? Json(0.0) : Json(time_within(busy, span) / seconds);
}

std::vector<Interval> busy_of(const Ledger::Record& record) {
  std::vector<Interval> busy;
  for (const auto& [stream, intervals] : record.busy)
    busy.insert(busy.end(), intervals.begin(), intervals.end());
  unite(busy);
  return busy;
}

void add_simulated(Json& report, Json& cards) {
  std::vector<std::vector<Interval>> busy;
  std::vector<Interval> loads;
  for (const auto& card : runtime().cards) {
    card->ledger.read([&](const Ledger::Record& record) {
      busy.push_back(busy_of(record));
      loads.insert(loads.end(), record.loads.begin(), record.loads.end());
    });
  }
  const Interval span = span_of(busy);
  const Interval steady = steady_of(span, busy, std::move(loads));
  report["simulated"] = {{"dilation", settings().dilation},
                         {"launch_cost", settings().launch_cost},
                         {"span", span_json(span)},
                         {"steady", span_json(steady)}};
  for (size_t i = 0; i < cards.size(); ++i) {
    runtime().cards[i]->ledger.read([&](const Ledger::Record& record) {
      const auto route = [&](Route which) {
        return record.route_bytes[static_cast<size_t>(which)];
      };
      cards[i]["simulated"] = {{"busy_seconds", time_within(busy[i], span).count()},
                               {"busy_share", share_json(busy[i], span)},
                               {"steady_busy_share", share_json(busy[i], steady)},
                               {"host_to_card_bytes", route(Route::host_to_card)},
                               {"card_to_host_bytes", route(Route::card_to_host)},
                               {"peer_bytes", route(Route::peer)},
                               {"collective_bytes", route(Route::collective)},
                               {"operations", totals_json(record.operations)},
                               {"copies", totals_json(record.copies)}};
    });
  }
}

Json card_json(const Card& card) {
  uint64_t run = 0;
  Json operations = Json::object();
  card.ledger.read([&](const Ledger::Record& record) {
    for (const auto& [name, total] : record.operations) {
      run += total.runs;
      operations[name] = total.runs;
    }
  });
  return {{"card", card.id},
          {"memory_bytes", card.memory_bytes},
          {"taken_bytes", card.taken_bytes},
          {"peak_bytes", card.peak_bytes},
          {"touched_bytes", touched_bytes(card.id).total.load()},
          {"streams_created", card.streams_created},
          {"operations_run", run},
          {"operations", std::move(operations)}};
}

}  // namespace

void write_report() {
  if (paced() && !settings().timeline_path.empty()) write_timeline(settings().timeline_path);
  const std::string& path = settings().report_path;
  if (path.empty()) return;
  Runtime& state = runtime();
  Json cards = Json::array();
  Json report = {
      {"cann", cann_version()}, {"soc", soc_name()}, {"mode", paced() ? "paced" : "compute"}};
  {
    const std::lock_guard lock(state.mutex);
    for (const auto& card : state.cards) cards.push_back(card_json(*card));
  }
  if (paced()) add_simulated(report, cards);
  report["cards"] = std::move(cards);
  std::ofstream file(path);
  file << report.dump(2) << "\n";
  if (!file.flush()) fmt::print(stderr, "[emulator] the report could not be written to {}\n", path);
}

}  // namespace emulator
