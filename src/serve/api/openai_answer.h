// How streams of OpenAI's older endpoints end.
#pragma once

#include "serve/api/answer.h"
#include "serve/api/answer_parts.h"

namespace fastchat::serve::api {

/// Events without names, and a mark at the end.
class OpenAiAnswer : public Answer {
 public:
  std::string last_events() final { return usage_events() + std::string(kSseDone); }
  std::string error_events(const ApiError& error) final {
    return sse_event(error_body(error)) + std::string(kSseDone);
  }

 private:
  /// The chunk with the usage alone, where it is asked for.
  virtual std::string usage_events() = 0;
};

}  // namespace fastchat::serve::api
