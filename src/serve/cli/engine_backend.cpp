#include "serve/cli/engine_backend.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "serve/language.h"
#include "text/detokenizer.h"
#include "text/stop_strings.h"

namespace fastchat::serve {
namespace {

using Clock = std::chrono::steady_clock;

// How soon Ctrl-C is noticed while no text comes.
constexpr std::chrono::milliseconds kCancelPoll{20};
constexpr std::size_t kTailBytes = 64;  // enough to see how a text ends

// One answer: on_output() on the engine thread turns tokens into text, take() on the terminal
// thread fetches it.
class AnswerStream : public engine::OutputListener {
 public:
  AnswerStream(const text::Tokenizer& tokenizer, const ChatParams& params)
      : detokenizer_(tokenizer),
        stop_strings_(params.stop),
        judge_sent_end_(params.judge_sent_end),
        started_(Clock::now()) {}

  engine::Verdict on_output(const engine::SequenceOutput& output) override {
    std::string piece;
    bool matched = false;
    bool broken_off = false;
    std::string failure;
    try {
      piece = text_of(output, matched, broken_off);
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
    } else if (broken_off) {
      broken_off_ = true;
    } else {
      generation_.finish_reason = output.finish_reason;
      generation_.error = output.error;
    }
    changed_.notify_one();
    return matched || !failure.empty() ? engine::Verdict::stop : engine::Verdict::go_on;
  }

  enum class State { going_on, broken_off, done };

  /// New text since the last call, waiting a little for some; and whether that was all.
  std::pair<std::string, State> take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(
        lock, kCancelPoll, [this] { return !text_.empty() || broken_off_ || done(); });
    return {std::exchange(text_, {}),
            done()        ? State::done
            : broken_off_ ? State::broken_off
                          : State::going_on};
  }

  /// After State::broken_off, when no request is running: the tokens so far, to go on from. The
  /// next request's output is taken as the rest of this one's.
  std::vector<std::int32_t> go_on() {
    const std::scoped_lock lock(mutex_);
    broken_off_ = false;
    num_earlier_tokens_ = static_cast<std::int64_t>(tokens_.size());
    return tokens_;
  }

  /// Instead of go_on(): there is no room for more. The text that was held back for it.
  std::string end_here() {
    const std::scoped_lock lock(mutex_);
    generation_.finish_reason = engine::FinishReason::length;
    text::StopStrings::Step step = stop_strings_.push(detokenizer_.finish());
    return step.matched ? step.text : step.text + stop_strings_.finish();
  }

  Generation generation() {
    const std::scoped_lock lock(mutex_);
    return generation_;
  }

 private:
  // The new text; whether a stop string ended it; and whether the model ended it in mid-sentence.
  std::string text_of(const engine::SequenceOutput& output, bool& matched, bool& broken_off) {
    std::string final_text;
    for (const std::int32_t token : output.new_tokens) final_text += detokenizer_.push(token);
    tokens_.insert(tokens_.end(), output.new_tokens.begin(), output.new_tokens.end());
    tail_ += final_text;
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    const bool chose_to_end =
        output.finish_reason == engine::FinishReason::stop && output.stop_token_id >= 0;
    broken_off = judge_sent_end_ && chose_to_end && !ends_a_sentence(tail_);
    const bool ends = output.finish_reason != engine::FinishReason::none && !broken_off;
    if (ends) final_text += detokenizer_.finish();
    text::StopStrings::Step step = stop_strings_.push(final_text);
    matched = step.matched.has_value();
    if (!matched && ends) step.text += stop_strings_.finish();
    return step.text;
  }

  // By FastChat's list, whatever spaces follow.
  static bool ends_a_sentence(std::string_view text) {
    text = text.substr(0, text.find_last_not_of(" \t\n") + 1);
    constexpr std::string_view kEnds[] = {".", "?", "!", "。", "？", "！", "…", "\"", "'", "”"};
    return std::any_of(std::begin(kEnds), std::end(kEnds), [text](std::string_view end) {
      return text.ends_with(end);
    });
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
    if (num_earlier_tokens_ == 0) {
      generation_.num_prompt_tokens = output.num_prompt_tokens;
      generation_.num_cached_tokens = output.num_cached_tokens;
    }
    generation_.num_output_tokens = num_earlier_tokens_ + output.num_output_tokens;
  }

  bool done() const { return generation_.finish_reason != engine::FinishReason::none; }

  // Engine thread only, while a request runs.
  text::IncrementalDetokenizer detokenizer_;
  text::StopStrings stop_strings_;
  const bool judge_sent_end_;
  std::string tail_;                     // the last kTailBytes of the text
  std::vector<std::int32_t> tokens_;     // all of the answer's
  std::int64_t num_earlier_tokens_ = 0;  // of requests before this one
  Clock::time_point started_;
  Clock::time_point first_token_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;  // not yet taken
  bool broken_off_ = false;
  Generation generation_;  // done when it has a finish reason
};

// Ends the request when text could not be handed on (the output closed).
class CancelOnExit {
 public:
  CancelOnExit(engine::RequestQueue& engine, engine::RequestId id) : engine_(engine), id_(id) {}
  ~CancelOnExit() { engine_.cancel(id_); }
  CancelOnExit(const CancelOnExit&) = delete;
  CancelOnExit& operator=(const CancelOnExit&) = delete;

 private:
  engine::RequestQueue& engine_;
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
        fmt::format(
            fmt::runtime(text("the conversation has {} tokens, which leaves no room for an answer: "
                              "the context holds {}",
                              "对话有 {} 个 token，没有留给回答的空间：上下文最多 {} 个")),
            tokens->size(),
            context)};
  engine::SamplingParams sampling = params.sampling;
  const bool limited_by_room = sampling.max_tokens <= 0 || sampling.max_tokens > room;
  if (limited_by_room) sampling.max_tokens = static_cast<std::int32_t>(room);

  const auto stream = std::make_shared<AnswerStream>(tokenizer_, params);
  const std::int32_t most_tokens = sampling.max_tokens;
  std::vector<std::int32_t> prompt = *tokens;
  bool cancel_sent = false;
  for (bool over = false; !over;) {
    const Result<engine::RequestId> id =
        engine_.submit({.prompt = prompt, .sampling = sampling, .listener = stream});
    if (!id) return id.error();
    const CancelOnExit cancel_on_exit(engine_, *id);
    AnswerStream::State state = AnswerStream::State::going_on;
    while (state == AnswerStream::State::going_on) {
      std::string piece;
      std::tie(piece, state) = stream->take();
      if (!piece.empty() && !cancel_sent) on_text(piece);
      if (state == AnswerStream::State::going_on && !cancel_sent && cancelled()) {
        engine_.cancel(*id);
        cancel_sent = true;
      }
    }
    over = state == AnswerStream::State::done;
    if (over) continue;
    // Broken off in mid-sentence. What was said goes behind the prompt, where the prefix cache
    // finds it, and the first token of the rest is not an end. (Presence and frequency penalties
    // start anew there: to the engine the earlier part is prompt now.)
    const std::vector<std::int32_t> said = stream->go_on();
    sampling.max_tokens = most_tokens - static_cast<std::int32_t>(said.size());
    sampling.min_tokens = 1;
    if (sampling.seed) ++*sampling.seed;
    prompt = *tokens;
    prompt.insert(prompt.end(), said.begin(), said.end());
    if (sampling.max_tokens <= 0 || cancel_sent) {
      const std::string rest = stream->end_here();
      if (!rest.empty() && !cancel_sent) on_text(rest);
      over = true;
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
