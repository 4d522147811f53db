#include "serve/api/answer.h"

#include <utility>

#include "serve/api/answer_parts.h"

namespace fastchat::serve::api {
namespace {

using Clock = std::chrono::steady_clock;

/// Takes progress of all sequences that are not over yet, and measures how it comes.
class Collector {
 public:
  Collector(Generation& generation, ModelMetrics& metrics, Clock::time_point began)
      : generation_(generation),
        metrics_(metrics),
        began_(began),
        sequences_(generation.num_sequences()) {}

  template <typename Take>
  void collect(const Take& take) {
    const Clock::time_point now = Clock::now();
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      if (sequences_[i].is_over) continue;
      const Progress progress = generation_.take(i);
      measure(sequences_[i], progress, now);
      require_success(progress);
      take(i, progress);
    }
  }
  bool is_over() const { return num_over_ == sequences_.size(); }

 private:
  struct Sequence {
    std::int32_t num_tokens = 0;
    Clock::time_point last;
    bool is_over = false;
  };

  void measure(Sequence& sequence, const Progress& progress, Clock::time_point now) {
    const std::int32_t count = progress.num_output_tokens - sequence.num_tokens;
    if (count > 0) {
      if (sequence.num_tokens == 0)
        metrics_.time_to_first_token.observe(now - began_);
      else
        for (std::int32_t i = 0; i < count; ++i)
          metrics_.inter_token_latency.observe((now - sequence.last) / count);
      sequence.num_tokens = progress.num_output_tokens;
      sequence.last = now;
    }
    if (!progress.is_over()) return;
    sequence.is_over = true;
    ++num_over_;
    metrics_.e2e_request_latency.observe(now - began_);
    metrics_.count_finish(progress.finish_reason);
  }

  Generation& generation_;
  ModelMetrics& metrics_;
  const Clock::time_point began_;
  std::vector<Sequence> sequences_;
  std::size_t num_over_ = 0;
};

asio::awaitable<void> stream_answer(ApiContext& context,
                                    http::Exchange& exchange,
                                    Generation& generation,
                                    Collector& sequences,
                                    Answer& answer) {
  http::Headers headers;
  headers.add("Cache-Control", "no-cache");
  headers.add("X-Accel-Buffering", "no");  // nginx would hold events back
  co_await exchange.begin_stream(200, "text/event-stream; charset=utf-8", headers);
  std::string events = answer.first_events();
  if (!events.empty()) co_await exchange.write(events);
  while (!sequences.is_over()) {
    const auto deadline = Clock::now() + context.options().keep_alive;
    const bool has_news = co_await generation.wait(deadline);
    events.clear();
    if (!has_news) events = kSseKeepAlive;
    bool has_failed = false;
    try {
      if (has_news)
        sequences.collect([&](std::size_t index, const Progress& progress) {
          answer.append_events(index, progress, events);
        });
    } catch (const ApiError& error) {
      events += answer.error_events(error);
      has_failed = true;
    }
    if (has_failed) {
      co_await exchange.end_stream(events);
      co_return;
    }
    if (!sequences.is_over() && !events.empty()) co_await exchange.write(events);
  }
  events += answer.last_events();
  co_await exchange.end_stream(events);
}

}  // namespace

void start_choices(Generation& generation,
                   const std::vector<std::int32_t>& prompt,
                   const CommonFields& common) {
  const TextOptions text{.stop = common.stop,
                         .include_stop_str_in_output = common.include_stop_str_in_output,
                         .skip_special_tokens = common.skip_special_tokens};
  engine::SamplingParams sampling = common.sampling;
  for (std::int32_t i = 0; i < common.n; ++i) {
    if (const Result<void> started = generation.start(prompt, sampling, text); !started)
      throw to_api_error(started.error());
    if (sampling.seed) ++*sampling.seed;
  }
}

asio::awaitable<void> give_answer(ApiContext& context,
                                  http::Exchange& exchange,
                                  const ServedModel& model,
                                  Generation& generation,
                                  Answer& answer,
                                  bool streams) {
  exchange.on_disconnect(generation.canceller());
  Collector sequences(generation, *model.metrics, exchange.request().began);
  if (streams) {
    co_await stream_answer(context, exchange, generation, sequences, answer);
    co_return;
  }
  while (!sequences.is_over()) {
    co_await generation.wait(Clock::time_point::max());
    sequences.collect(
        [&](std::size_t index, const Progress& progress) { answer.add(index, progress); });
  }
  const text::Json whole = answer.whole();
  co_await respond_json(exchange, 200, whole);
}

}  // namespace fastchat::serve::api
