#include "serve/cli/engine_backend.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "text/detokenizer.h"
#include "text/stop_strings.h"

namespace fastchat::serve {
namespace {

using Clock = std::chrono::steady_clock;

// How soon Ctrl-C is noticed while no text comes.
constexpr std::chrono::milliseconds kCancelPoll{20};

// One answer: on_output() on the engine thread turns tokens into text, take() on the terminal
// thread fetches it.
class AnswerStream : public engine::OutputListener {
 public:
  AnswerStream(const text::Tokenizer& tokenizer, std::vector<std::string> stop)
      : detokenizer_(tokenizer), stop_strings_(std::move(stop)), started_(Clock::now()) {}

  engine::Verdict on_output(const engine::SequenceOutput& output) override {
    std::string piece;
    bool matched = false;
    std::string failure;
    try {
      piece = text_of(output, matched);
    } catch (const std::exception& error) {  // nothing of ours may unwind through the engine
      failure = error.what();
    }
    const std::scoped_lock lock(mutex_);
    text_ += piece;
    note_progress(output);
    if (!failure.empty()) {
      generation_.error = failure;
      generation_.finish_reason = engine::FinishReason::error;
    } else if (matched) {
      generation_.finish_reason = engine::FinishReason::stop;
    } else {
      generation_.finish_reason = output.finish_reason;
      generation_.error = output.error;
    }
    changed_.notify_one();
    return matched || !failure.empty() ? engine::Verdict::stop : engine::Verdict::go_on;
  }

  /// New text since the last call, waiting a little for some; and whether that was all.
  std::pair<std::string, bool> take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kCancelPoll, [this] { return !text_.empty() || done(); });
    return {std::exchange(text_, {}), done()};
  }

  Generation generation() {
    const std::scoped_lock lock(mutex_);
    return generation_;
  }

 private:
  std::string text_of(const engine::SequenceOutput& output, bool& matched) {
    std::string final_text;
    for (const std::int32_t token : output.new_tokens) final_text += detokenizer_.push(token);
    if (output.finish_reason != engine::FinishReason::none) final_text += detokenizer_.finish();
    text::StopStrings::Step step = stop_strings_.push(final_text);
    matched = step.matched.has_value();
    if (!matched && output.finish_reason != engine::FinishReason::none)
      step.text += stop_strings_.finish();
    return step.text;
  }

  void note_progress(const engine::SequenceOutput& output) {
    const Clock::time_point now = Clock::now();
    if (!output.new_tokens.empty()) {
      if (first_token_ == Clock::time_point{}) {
        first_token_ = now;
        generation_.time_to_first_token = now - started_;
      }
      generation_.decode_time = now - first_token_;
    }
    generation_.num_prompt_tokens = output.num_prompt_tokens;
    generation_.num_cached_tokens = output.num_cached_tokens;
    generation_.num_output_tokens = output.num_output_tokens;
  }

  bool done() const { return generation_.finish_reason != engine::FinishReason::none; }

  // Engine thread only.
  text::IncrementalDetokenizer detokenizer_;
  text::StopStrings stop_strings_;
  Clock::time_point started_;
  Clock::time_point first_token_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;       // not yet taken
  Generation generation_;  // done when it has a finish reason
};

// Ends the request when text could not be handed on (the output closed).
class CancelOnExit {
 public:
  CancelOnExit(engine::Engine& engine, engine::RequestId id) : engine_(engine), id_(id) {}
  ~CancelOnExit() { engine_.cancel(id_); }
  CancelOnExit(const CancelOnExit&) = delete;
  CancelOnExit& operator=(const CancelOnExit&) = delete;

 private:
  engine::Engine& engine_;
  engine::RequestId id_;
};

text::Json messages_of(std::span<const ChatTurn> turns) {
  text::Json messages = text::Json::array();
  for (const ChatTurn& turn : turns)
    messages.push_back({{"role", turn.role}, {"content", turn.content}});
  return messages;
}

}  // namespace

PromptEncoder model_prompts(const text::Tokenizer& tokenizer,
                            const text::ChatTemplate& chat_template) {
  return [&tokenizer,
          &chat_template](std::span<const ChatTurn> turns) -> Result<std::vector<std::int32_t>> {
    const Result<std::string> prompt = chat_template.render(messages_of(turns));
    if (!prompt) return prompt.error();
    // The template writes the special tokens itself: adding them again would double the BOS.
    return tokenizer.encode(*prompt, /*add_special_tokens=*/false);
  };
}

PromptEncoder conversation_prompts(const text::Tokenizer& tokenizer,
                                   const text::ConversationTemplate& conversation) {
  return [&tokenizer,
          &conversation](std::span<const ChatTurn> turns) -> Result<std::vector<std::int32_t>> {
    std::string system_message;
    std::vector<std::string> texts;
    for (const ChatTurn& turn : turns) {
      if (turn.role == "system")
        system_message = turn.content;
      else
        texts.push_back(turn.content);
    }
    const Result<std::string> prompt = text::render(conversation, system_message, texts);
    if (!prompt) return prompt.error();
    const Result<std::vector<std::int32_t>> plain = tokenizer.encode(*prompt, false);
    if (!plain) return plain.error();
    const Result<std::vector<std::int32_t>> special = tokenizer.encode(*prompt, true);
    if (!special) return special.error();
    const bool doubled =
        special->size() > plain->size() && !plain->empty() && special->front() == plain->front();
    return doubled ? *plain : *special;
  };
}

Result<Generation> EngineBackend::generate(std::span<const ChatTurn> turns,
                                           const ChatParams& params,
                                           const std::function<void(std::string_view)>& on_text,
                                           const std::function<bool()>& cancelled) {
  Result<std::vector<std::int32_t>> tokens = encode_prompt_(turns);
  if (!tokens) return tokens.error();

  const std::int64_t context = engine_.config().max_model_len;
  const std::int64_t room = context - static_cast<std::int64_t>(tokens->size());
  if (room <= 0)
    return Error{
        ErrorCode::context_too_long,
        fmt::format("the conversation has {} tokens, which leaves no room for an answer: the "
                    "context holds {}",
                    tokens->size(),
                    context)};
  engine::SamplingParams sampling = params.sampling;
  const bool limited_by_room = sampling.max_tokens <= 0 || sampling.max_tokens > room;
  if (limited_by_room) sampling.max_tokens = static_cast<std::int32_t>(room);

  const auto stream = std::make_shared<AnswerStream>(tokenizer_, params.stop);
  const Result<engine::RequestId> id = engine_.submit(
      {.prompt = std::move(*tokens), .sampling = std::move(sampling), .listener = stream});
  if (!id) return id.error();
  const CancelOnExit cancel_on_exit(engine_, *id);

  bool cancel_sent = false;
  for (;;) {
    const auto [piece, done] = stream->take();
    if (!piece.empty() && !cancel_sent) on_text(piece);
    if (done) break;
    if (!cancel_sent && cancelled()) {
      engine_.cancel(*id);
      cancel_sent = true;
    }
  }
  Generation generation = stream->generation();
  if (cancel_sent && generation.finish_reason != engine::FinishReason::error)
    generation.finish_reason =
        engine::FinishReason::cancelled;  // even if it ended by itself meanwhile
  generation.context_full =
      limited_by_room && generation.finish_reason == engine::FinishReason::length;
  return generation;
}

}  // namespace fastchat::serve
