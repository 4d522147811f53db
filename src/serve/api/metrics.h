// What happened to requests, for Prometheus.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "engine/request.h"

namespace fastchat::serve::api {

/// Counts of durations by size. Any thread.
class Histogram {
 public:
  /// Upper bounds in seconds: 1 ms to 10 minutes.
  static constexpr std::array<double, 18> kBounds = {
      0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600};

  void observe(std::chrono::nanoseconds duration);
  /// In Prometheus' text format.
  void write(std::string_view name,
             std::string_view help,
             std::string_view labels,
             std::string& text) const;

 private:
  std::array<std::atomic<std::uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<std::int64_t> sum_ns_{0};
};

/// Of one model.
struct ModelMetrics {
  Histogram time_to_first_token;
  Histogram inter_token_latency;
  Histogram e2e_request_latency;
  std::array<std::atomic<std::uint64_t>, 5> finished{};  // by FinishReason

  void count_finish(engine::FinishReason reason) { ++finished[static_cast<std::size_t>(reason)]; }
};

/// The text of one model's metrics, with vLLM's names where the meaning is the same.
std::string prometheus_text(const std::string& model,
                            const ModelMetrics& metrics,
                            const engine::EngineStats& stats);

}  // namespace fastchat::serve::api
