// Sequences on their way from the engine to a client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "http/signal.h"
#include "text/tokenizer.h"

namespace fastchat::serve::api {

namespace asio = boost::asio;

/// How the text of sequences ends and looks.
struct TextOptions {
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
};

/// What became known of a sequence since it was looked at last.
struct Progress {
  std::string text;
  std::vector<engine::TokenLogprob> logprobs;         // of the new tokens, where asked
  std::vector<engine::TokenLogprob> prompt_logprobs;  // once, where asked
  engine::FinishReason finish_reason = engine::FinishReason::none;
  std::string error;        // with FinishReason::error
  std::string stop_string;  // that ended it, if one did
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_cached_tokens = 0;
  std::int32_t num_output_tokens = 0;  // so far

  bool is_over() const { return finish_reason != engine::FinishReason::none; }
};

/// The sequences of one HTTP request. Lives in its coroutine, on one thread; what the engine's
/// thread does for it is not seen. Ends what still runs when it goes.
class Generation {
 public:
  Generation(engine::RequestQueue& engine,
             const text::Tokenizer& tokenizer,
             const asio::any_io_executor& executor);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// Adds a sequence. Errors: as RequestQueue::submit.
  Result<void> start(std::vector<std::int32_t> prompt,
                     const engine::SamplingParams& sampling,
                     const TextOptions& options);
  /// Until a sequence has progress to look at; false when `deadline` has passed first.
  asio::awaitable<bool> wait(std::chrono::steady_clock::time_point deadline);
  std::size_t num_sequences() const { return sequences_.size(); }
  Progress take(std::size_t index);

  /// Ends all sequences, from any thread, also when this is gone.
  std::function<void()> canceller() const;

 private:
  class Sequence;
  struct Shared;

  engine::RequestQueue& engine_;
  const text::Tokenizer& tokenizer_;
  http::Signal signal_;
  std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<Sequence>> sequences_;
};

}  // namespace fastchat::serve::api
