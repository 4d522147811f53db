#include "serve/api/api_context.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace fastchat::serve::api {

void ApiContext::set_models(std::vector<ServedModel> models) {
  models_ = std::move(models);
  is_ready_ = true;
}

void ApiContext::set_loading_progress(std::uint64_t done_bytes, std::uint64_t total_bytes) {
  total_bytes_ = total_bytes;
  done_bytes_ = done_bytes;
}

double ApiContext::loading_progress() const {
  if (is_ready_) return 1.0;
  const std::uint64_t total = total_bytes_;
  if (total == 0) return 0.0;
  return std::min(1.0, static_cast<double>(done_bytes_) / static_cast<double>(total));
}

std::string ApiContext::state() const {
  if (is_draining_) return "shutting down";
  if (!is_ready_) return fmt::format("loading the model: {:.0f} %", 100.0 * loading_progress());
  return "ready";
}

const std::vector<ServedModel>& ApiContext::models() const {
  if (is_ready()) return models_;
  ApiError error(503, state());
  error.retry_after_s = 5;
  throw error;
}

const ServedModel& ApiContext::model_of(const text::Json& body) const {
  return find_model(models(), Fields(body).required_string("model"));
}

asio::awaitable<void> respond_json(http::Exchange& exchange, int status, const text::Json& json) {
  http::Response response;
  response.status = status;
  response.content_type = "application/json";
  response.body = json_text(json);
  co_await exchange.respond(response);
}

}  // namespace fastchat::serve::api
