#include "serve/api/metrics.h"

#include <algorithm>

#include <fmt/format.h>

namespace fastchat::serve::api {
namespace {

std::string escaped(std::string_view label) {
  std::string text;
  for (const char c : label) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n')
      text += "\\n";
    else
      text += c;
  }
  return text;
}

}  // namespace

void Histogram::observe(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
  sum_ns_ += duration.count();
}

void Histogram::write(std::string_view name,
                      std::string_view help,
                      std::string_view labels,
                      std::string& text) const {
  text += fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    sum += counts_[i];
    text += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, kBounds[i], sum);
  }
  sum += counts_.back();
  text += fmt::format("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, sum);
  text += fmt::format("{}_sum{{{}}} {}\n", name, labels, static_cast<double>(sum_ns_.load()) / 1e9);
  text += fmt::format("{}_count{{{}}} {}\n", name, labels, sum);
}

std::string prometheus_text(const std::string& model,
                            const ModelMetrics& metrics,
                            const engine::EngineStats& stats) {
  const std::string labels = fmt::format("model_name=\"{}\"", escaped(model));
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* help, auto value) {
    text += fmt::format(
        "# HELP {0} {1}\n# TYPE {0} {2}\n{0}{{{3}}} {4}\n", name, help, type, labels, value);
  };
  add("vllm:num_requests_running", "gauge", "Sequences in the batch.", stats.num_running);
  add("vllm:num_requests_waiting", "gauge", "Sequences that wait for one.", stats.num_waiting);
  const double used = stats.num_blocks == 0 ? 0.0
                                            : 1.0 - static_cast<double>(stats.num_free_blocks) /
                                                        static_cast<double>(stats.num_blocks);
  add("vllm:kv_cache_usage_perc", "gauge", "KV cache in use, 1 is all.", used);
  add("vllm:prefix_cache_queries_total",
      "counter",
      "Prompt tokens looked up in the prefix cache.",
      stats.num_prompt_tokens);
  add("vllm:prefix_cache_hits_total",
      "counter",
      "Prompt tokens found there.",
      stats.num_cached_prompt_tokens);
  add("vllm:num_preemptions_total", "counter", "Sequences put back.", stats.num_preemptions);
  add("vllm:prompt_tokens_total", "counter", "Prompt tokens.", stats.num_prompt_tokens);
  add("vllm:generation_tokens_total", "counter", "Generated tokens.", stats.num_generated_tokens);
  add("fastchat:engine_steps_total", "counter", "Forward passes.", stats.num_steps);
  text +=
      "# HELP vllm:request_success_total Sequences that ended, by reason.\n"
      "# TYPE vllm:request_success_total counter\n";
  for (std::size_t i = 1; i < metrics.finished.size(); ++i)
    text += fmt::format("vllm:request_success_total{{{},finished_reason=\"{}\"}} {}\n",
                        labels,
                        engine::to_string(static_cast<engine::FinishReason>(i)),
                        metrics.finished[i].load());
  metrics.time_to_first_token.write("vllm:time_to_first_token_seconds",
                                    "From a request's first byte to its first token.",
                                    labels,
                                    text);
  metrics.inter_token_latency.write(
      "vllm:inter_token_latency_seconds", "Between the tokens of a sequence.", labels, text);
  metrics.e2e_request_latency.write("vllm:e2e_request_latency_seconds",
                                    "From a request's first byte to its last token.",
                                    labels,
                                    text);
  return text;
}

}  // namespace fastchat::serve::api
