#include "tests/http/small_server.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace fastchat::http {

void AccessLog::add(const AccessRecord& record) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({std::string(record.method),
                      std::string(record.path),
                      std::string(record.request_id),
                      std::string(record.remote_address),
                      record});
  changed_.notify_all();
}

std::vector<LoggedAccess> AccessLog::wait_for(std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::minutes(1), [&] { return entries_.size() >= count; });
  return entries_;
}

asio::awaitable<void> answer_by_path(Exchange& exchange) {
  const Request& request = exchange.request();
  Response response;
  response.content_type = "text/plain";
  if (request.path == "/echo") {
    response.body = request.body;
    response.headers.add("Method", request.method);
  } else if (request.path == "/show") {
    response.body =
        fmt::format("{} {} from {}\n", request.method, request.path, request.remote_address);
    for (const auto& [name, value] : request.query) {
      response.body += fmt::format("? {}={}\n", name, value);
    }
    for (const auto& [name, value] : request.headers.fields) {
      response.body += fmt::format("{}: {}\n", name, value);
    }
  } else if (request.path == "/stream") {
    co_await exchange.begin_stream(200, "text/event-stream");
    co_await exchange.write("one ");
    co_await exchange.write("");
    co_await exchange.write("two ");
    co_await exchange.end_stream("three");
    co_return;
  } else if (request.path == "/throw") {
    throw std::runtime_error("as asked");
  } else if (request.path == "/late") {
    co_await exchange.begin_stream(200, "text/plain");
    co_await exchange.write("some");
    throw std::runtime_error("as asked");
  } else if (request.path == "/nothing") {
    co_return;
  } else {
    response.status = 404;
    response.body = "no such path\n";
  }
  co_await exchange.respond(response);
}

std::string get(const std::string& path, const std::string& more_headers) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: test\r\n{}\r\n", path, more_headers);
}

std::string post(const std::string& path, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{}", path, body.size(), body);
}

}  // namespace fastchat::http
