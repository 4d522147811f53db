// What all endpoints share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "http/exchange.h"
#include "serve/api/api_keys.h"
#include "serve/api/served_model.h"

namespace fastchat::serve::api {

namespace asio = boost::asio;

struct ApiOptions {
  ApiKeys keys;                                  // none: everybody may come
  bool is_strict = false;                        // unknown fields are refused
  std::chrono::milliseconds keep_alive{15'000};  // a stream says something at least so often
};

/// Any thread.
class ApiContext {
 public:
  explicit ApiContext(ApiOptions options) : options_(std::move(options)) {}

  const ApiOptions& options() const { return options_; }
  /// From here on requests are answered. Once.
  void set_models(std::vector<ServedModel> models);
  void set_loading_progress(std::uint64_t done_bytes, std::uint64_t total_bytes);
  /// Nothing new is taken.
  void set_draining() { is_draining_ = true; }

  bool is_ready() const { return is_ready_ && !is_draining_; }
  /// "loading the model: 43 %", "shutting down", "ready".
  std::string state() const;
  /// 0 to 1.
  double loading_progress() const;
  /// Throws ApiError, 503, while there are none, and when draining.
  const std::vector<ServedModel>& models() const;
  /// The one that a request's "model" names. Throws ApiError: as models(), none named, unknown.
  const ServedModel& model_of(const text::Json& body) const;

 private:
  const ApiOptions options_;
  std::vector<ServedModel> models_;  // written before is_ready_
  std::atomic<bool> is_ready_{false};
  std::atomic<bool> is_draining_{false};
  std::atomic<std::uint64_t> done_bytes_{0}, total_bytes_{0};
};

/// `json` as the whole answer.
asio::awaitable<void> respond_json(http::Exchange& exchange, int status, const text::Json& json);

}  // namespace fastchat::serve::api
