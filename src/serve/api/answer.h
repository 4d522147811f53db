// An answer on its way to a client: whole, or as a stream of events.
#pragma once

#include <string>
#include <vector>

#include "serve/api/api_context.h"
#include "serve/api/generation.h"
#include "serve/api/sampling_fields.h"

namespace fastchat::serve::api {

/// What an endpoint makes of the sequences of a request. Either add() and whole() are called, or
/// the others. Progress comes in order, and never after the last of a sequence.
class Answer {
 public:
  virtual ~Answer() = default;

  /// Takes what came of sequence `index`. Throws ApiError where it has failed.
  virtual void add(std::size_t index, const Progress& progress) = 0;
  virtual text::Json whole() = 0;

  /// What a stream begins with, before anything has come.
  virtual std::string first_events() { return {}; }
  /// Events for what came of sequence `index`, appended. Throws ApiError where it has failed.
  virtual void append_events(std::size_t index, const Progress& progress, std::string& events) = 0;
  /// What a stream ends with, after the last of all sequences.
  virtual std::string last_events() = 0;
  virtual std::string error_events(const ApiError& error) = 0;
};

/// Starts the request's n sequences of one prompt: seeds count up from the request's. Throws
/// ApiError.
void start_choices(Generation& generation,
                   const std::vector<std::int32_t>& prompt,
                   const CommonFields& common);

/// Answers with what comes of `generation`, until all its sequences are over. A client that goes
/// away ends them. While nothing comes, a comment now and then keeps a stream's connection alive.
asio::awaitable<void> give_answer(ApiContext& context,
                                  http::Exchange& exchange,
                                  const ServedModel& model,
                                  Generation& generation,
                                  Answer& answer,
                                  bool streams);

}  // namespace fastchat::serve::api
