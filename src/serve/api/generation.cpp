#include "serve/api/generation.h"

#include <exception>
#include <mutex>
#include <utility>

#include "text/detokenizer.h"
#include "text/stop_strings.h"

namespace fastchat::serve::api {

/// One sequence: the engine's thread puts tokens in, the HTTP thread takes text out.
class Generation::Sequence final : public engine::OutputListener {
 public:
  Sequence(const text::Tokenizer& tokenizer,
           const TextOptions& options,
           http::Signal::Notifier notifier)
      : detokenizer_(tokenizer, options.skip_special_tokens),
        stops_(options.stop),
        stop_strings_(options.stop),
        include_stop_string_(options.include_stop_str_in_output),
        notifier_(std::move(notifier)) {}

  engine::Verdict on_output(const engine::SequenceOutput& output) override {
    engine::Verdict verdict = engine::Verdict::go_on;
    {
      const std::lock_guard lock(mutex_);
      try {
        // Where a text may end a sequence the engine's thread looks at it, so that the answer is
        // the same however late anybody else does.
        if (stops_.empty()) {
          tokens_.insert(tokens_.end(), output.new_tokens.begin(), output.new_tokens.end());
          note(output);
        } else if (push_text(output)) {
          note(output);
          progress_.finish_reason = engine::FinishReason::stop;
          verdict = engine::Verdict::stop;
        } else {
          note(output);
        }
      } catch (const std::exception& failure) {  // nothing of ours may unwind through the engine
        progress_.finish_reason = engine::FinishReason::error;
        progress_.error = failure.what();
        verdict = engine::Verdict::stop;
      }
    }
    notifier_.notify();
    return verdict;
  }

  Progress take() {
    const std::lock_guard lock(mutex_);
    std::string text;
    if (stops_.empty()) {
      for (const std::int32_t token : std::exchange(tokens_, {})) text += detokenizer_.push(token);
      if (progress_.is_over() && !std::exchange(is_flushed_, true)) text += detokenizer_.finish();
    }
    Progress taken = progress_;
    taken.text = text + progress_.text;
    progress_.text.clear();
    progress_.logprobs.clear();
    progress_.prompt_logprobs.clear();
    return taken;
  }

 private:
  /// True: a stop string is complete.
  bool push_text(const engine::SequenceOutput& output) {
    std::string piece;
    for (const std::int32_t token : output.new_tokens) piece += detokenizer_.push(token);
    const bool ends = output.finish_reason != engine::FinishReason::none;
    if (ends) piece += detokenizer_.finish();
    text::StopStrings::Step step = stop_strings_.push(piece);
    progress_.text += step.text;
    if (step.matched) {
      progress_.stop_string = stops_[*step.matched];
      if (include_stop_string_) progress_.text += progress_.stop_string;
      return true;
    }
    if (ends) progress_.text += stop_strings_.finish();
    return false;
  }

  void note(const engine::SequenceOutput& output) {
    progress_.logprobs.insert(
        progress_.logprobs.end(), output.new_logprobs.begin(), output.new_logprobs.end());
    progress_.prompt_logprobs.insert(progress_.prompt_logprobs.end(),
                                     output.prompt_logprobs.begin(),
                                     output.prompt_logprobs.end());
    progress_.finish_reason = output.finish_reason;
    progress_.error = output.error;
    progress_.num_prompt_tokens = output.num_prompt_tokens;
    progress_.num_cached_tokens = output.num_cached_tokens;
    progress_.num_output_tokens = output.num_output_tokens;
  }

  // With stop strings on the engine's thread, else on the taker's.
  text::IncrementalDetokenizer detokenizer_;
  const std::vector<std::string> stops_;
  text::StopStrings stop_strings_;
  const bool include_stop_string_;
  const http::Signal::Notifier notifier_;

  std::mutex mutex_;
  std::vector<std::int32_t> tokens_;  // not yet text
  Progress progress_;                 // since the last take(), and what stays
  bool is_flushed_ = false;
};

struct Generation::Shared {
  engine::RequestQueue& engine;
  std::mutex mutex;
  std::vector<engine::RequestId> ids;
  bool is_cancelled = false;

  void add(engine::RequestId id) {
    const std::lock_guard lock(mutex);
    ids.push_back(id);
    if (is_cancelled) engine.cancel(id);
  }
  void cancel() {
    const std::lock_guard lock(mutex);
    if (std::exchange(is_cancelled, true)) return;
    for (const engine::RequestId id : ids) engine.cancel(id);
  }
};

Generation::Generation(engine::RequestQueue& engine,
                       const text::Tokenizer& tokenizer,
                       const asio::any_io_executor& executor)
    : engine_(engine),
      tokenizer_(tokenizer),
      signal_(executor),
      shared_(new Shared{.engine = engine}) {}

Generation::~Generation() { shared_->cancel(); }

Result<void> Generation::start(std::vector<std::int32_t> prompt,
                               const engine::SamplingParams& sampling,
                               const TextOptions& options) {
  auto sequence = std::make_shared<Sequence>(tokenizer_, options, signal_.notifier());
  const Result<engine::RequestId> id =
      engine_.submit({.prompt = std::move(prompt), .sampling = sampling, .listener = sequence});
  if (!id) return id.error();
  shared_->add(*id);
  sequences_.push_back(std::move(sequence));
  return {};
}

asio::awaitable<bool> Generation::wait(std::chrono::steady_clock::time_point deadline) {
  co_return co_await signal_.wait(deadline);
}

Progress Generation::take(std::size_t index) { return sequences_.at(index)->take(); }

std::function<void()> Generation::canceller() const {
  return [shared = shared_] { shared->cancel(); };
}

}  // namespace fastchat::serve::api
