#include "http/connection.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/log.h"
#include "http/connection_exchange.h"
#include "http/request_id.h"
#include "http/response_head.h"

namespace fastchat::http {
namespace {

using Event = ClientInput::Event;

// How much is read ahead of the present request, to notice that the client goes.
constexpr std::size_t kReadAhead = 64 << 10;

// How long a client that keeps sending is listened to after its last answer: were the connection
// closed at once, the system would reset it, and the client might never see the answer.
constexpr std::chrono::seconds kGoodBye{2};

std::string address_of(const boost::asio::ip::tcp::socket& socket) {
  boost::system::error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  return error ? std::string() : endpoint.address().to_string();
}

ErrorBody default_error_body(std::string_view message) {
  return {"text/plain; charset=utf-8", std::string(message) + "\n"};
}

std::string describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "unknown exception";
  }
}

// True for what a handler meets when its client goes, or its server stops.
bool is_network_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

Connection::Connection(ServerContext& context, Setup setup, std::function<void(Connection&)> ended)
    : context_(context),
      limits_(context.options.limits),
      executor_(setup.socket.get_executor()),
      refused_(setup.refused),
      ended_(std::move(ended)),
      remote_address_(address_of(setup.socket)),
      transport_(std::move(setup.socket), std::move(setup.tls)),
      input_(transport_,
             executor_,
             std::max(kReadAhead, limits_.header_bytes),
             [this] {
               if (exchange_ != nullptr) lose_client();
             }),
      write_deadline_(executor_, [this] { on_write_deadline(); }) {}

void Connection::start() {
  asio::co_spawn(
      executor_,
      run(),
      asio::bind_cancellation_slot(cancellation_.slot(),
                                   [self = shared_from_this()](const std::exception_ptr& failure) {
                                     self->ended(failure);
                                   }));
}

void Connection::begin_drain() {
  if (idle_ && input_.bytes().empty()) transport_.close();
}

bool Connection::cut() {
  const bool answering = exchange_ != nullptr;
  if (answering) ++context_.stats.cut_off;
  cut_ = true;
  lose_client();
  cancellation_.emit(asio::cancellation_type::terminal);
  return answering;
}

asio::awaitable<void> Connection::run() {
  const bool opened = co_await open();
  if (!opened) co_return;
  bool again = true;
  while (again) again = co_await serve_next();
  if (answer_was_last_) co_await say_good_bye();
}

void Connection::ended(const std::exception_ptr& failure) {
  if (failure && !is_network_error(failure)) {
    log::error("connection of {} failed: {}", remote_address_, describe(failure));
  }
  transport_.close();
  ended_(*this);
}

asio::awaitable<bool> Connection::open() {
  boost::system::error_code error;
  if (transport_.encrypted()) {
    write_deadline_.set(Clock::now() + limits_.header_timeout);
    co_await transport_.async_handshake(asio::redirect_error(asio::use_awaitable, error));
    write_deadline_.clear();
  }
  if (!error) input_.start(weak_from_this());
  co_return !error;
}

// False when the connection ends with this request, or without one.
asio::awaitable<bool> Connection::serve_next() {
  idle_ = true;
  first_byte_sent_.reset();
  bytes_in_ = bytes_out_ = 0;
  RequestParser parser(limits_.header_bytes, limits_.body_bytes);
  if (refused_) {
    began_ = Clock::now();
    parser.fail(503, "too many connections");
  } else {
    const bool begun = co_await first_byte();
    if (!begun) co_return false;
    idle_ = false;
    const bool read = co_await read_request(parser);
    if (!read) co_return false;
  }
  served_any_ = true;
  if (parser.error()) {
    co_await refuse(parser);
    co_return false;
  }
  const bool http_1_0 = parser.http_1_0();
  const bool keep_alive = parser.keep_alive();
  const bool again = co_await exchange(parser.take_request(), http_1_0, keep_alive);
  co_return again;
}

asio::awaitable<bool> Connection::first_byte() {
  if (context_.draining && input_.bytes().empty()) {
    answer_was_last_ = served_any_;
    co_return false;
  }
  const auto deadline =
      Clock::now() + (served_any_ ? limits_.idle_timeout : limits_.header_timeout);
  while (true) {
    // Some clients end a body with a line end too many.
    const std::string_view bytes = input_.bytes();
    input_.take(std::min(bytes.find_first_not_of("\r\n"), bytes.size()));
    if (!input_.bytes().empty()) break;
    const Event event = co_await input_.more(deadline);
    if (event != Event::arrived) co_return false;
  }
  began_ = Clock::now();
  co_return true;
}

// False when the client goes. True with a whole request, or with parser.error().
asio::awaitable<bool> Connection::read_request(RequestParser& parser) {
  const bool header = co_await read_header(parser);
  if (!header || parser.error()) co_return header;
  if (parser.expects_continue() && input_.bytes().empty()) {
    co_await send("HTTP/1.1 100 Continue\r\n\r\n");
    first_byte_sent_.reset();  // of the answer, that is
  }
  const bool body = co_await read_body(parser);
  co_return body;
}

asio::awaitable<bool> Connection::read_header(RequestParser& parser) {
  while (true) {
    feed(parser);
    if (parser.error() || parser.header_done()) co_return true;
    const Event event = co_await input_.more(began_ + limits_.header_timeout);
    if (event == Event::ended) co_return false;
    if (event == Event::timed_out) {
      ++context_.stats.timeouts;
      parser.fail(
          408,
          fmt::format("the request's header took more than {} ms", limits_.header_timeout.count()));
      co_return true;
    }
  }
}

asio::awaitable<bool> Connection::read_body(RequestParser& parser) {
  const auto deadline = Clock::now() + limits_.body_timeout;
  while (true) {
    feed(parser);
    if (parser.error() || parser.done()) co_return true;
    if (input_.full()) {
      parser.fail(400, "the request's chunk header or trailer is too long");
      co_return true;
    }
    const Event event =
        co_await input_.more(std::min(deadline, Clock::now() + limits_.body_idle_timeout));
    if (event == Event::ended) co_return false;
    if (event == Event::timed_out) {
      ++context_.stats.timeouts;
      parser.fail(408,
                  fmt::format("the request's body took more than {} ms, or {} ms without a byte",
                              limits_.body_timeout.count(),
                              limits_.body_idle_timeout.count()));
      co_return true;
    }
  }
}

void Connection::feed(RequestParser& parser) {
  const std::size_t taken = parser.feed(input_.bytes());
  bytes_in_ += taken;
  input_.take(taken);
}

// Answers what no handler is asked for.
asio::awaitable<void> Connection::refuse(const RequestParser& parser) {
  const ProtocolError& error = *parser.error();
  Request request = parser.request();
  request.id = request_id(request.header("X-Request-Id"));
  ErrorBody body = default_error_body(error.message);
  try {
    const auto& hook = context_.options.hooks.protocol_error_body;
    if (hook) body = hook(error.status, error.message);
  } catch (const std::exception& failure) {
    log::error("request {}: protocol_error_body failed: {}", request.id, failure.what());
  }
  Headers headers;
  if (error.status == 503) headers.add("Retry-After", "1");
  std::string bytes = to_bytes({.status = error.status,
                                .content_type = body.content_type,
                                .headers = &headers,
                                .request_id = request.id,
                                .content_length = body.body.size(),
                                .keep_alive = false});
  if (request.method != "HEAD") bytes += body.body;
  answer_was_last_ = true;
  std::exception_ptr failure;
  try {
    co_await send(bytes);
  } catch (...) {
    failure = std::current_exception();
  }
  log_access(request, error.status);
  if (failure) std::rethrow_exception(failure);
}

// Has the handler answer. True when another request may follow.
asio::awaitable<bool> Connection::exchange(Request request, bool http_1_0, bool keep_alive) {
  request.remote_address = remote_address_;
  request.id = request_id(request.header("X-Request-Id"));
  request.began = began_;
  ConnectionExchange exchange(*this, std::move(request), http_1_0, keep_alive);
  exchange_ = &exchange;
  client_gone_ = input_.ended();
  ++context_.stats.requests_in_flight;
  std::exception_ptr failure;
  if (!client_gone_) {
    try {
      co_await context_.handler(exchange);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (!exchange.answer_begun() && !client_gone_) {
    const std::exception_ptr handler_failure = std::exchange(failure, nullptr);
    log::error("request {}: {}",
               exchange.request().id,
               handler_failure ? "handler failed: " + describe(handler_failure)
                               : "handler returned without answering");
    try {
      co_await exchange.respond_unhandled(handler_failure);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  --context_.stats.requests_in_flight;
  exchange_ = nullptr;
  if (failure && !is_network_error(failure)) {
    log::error("request {}: handler failed after it began to answer: {}",
               exchange.request().id,
               describe(failure));
  }
  client_gone_ = client_gone_ && !exchange.answer_complete();
  log_access(exchange.request(), exchange.status());
  answer_was_last_ = exchange.answer_complete() && !exchange.keep_alive();
  co_return exchange.answer_complete() && exchange.keep_alive() && !cut_;
}

// Waits until the client closes, too.
asio::awaitable<void> Connection::say_good_bye() {
  const auto deadline = Clock::now() + kGoodBye;
  idle_ = false;
  input_.discard();
  if (transport_.encrypted()) {
    boost::system::error_code ignored;
    write_deadline_.set(deadline);
    co_await transport_.async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
    write_deadline_.clear();
  }
  transport_.end_sending();
  Event event = Event::arrived;
  while (event == Event::arrived) event = co_await input_.more(deadline);
}

asio::awaitable<void> Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    boost::system::error_code error = asio::error::connection_reset;
    std::size_t written = 0;
    if (!client_gone_) {
      write_deadline_.set(Clock::now() + limits_.write_timeout);
      written = co_await transport_.async_write_some(
          asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
      write_deadline_.clear();
    }
    if (error) {
      lose_client();
      throw boost::system::system_error(error, "answer to a client that is gone");
    }
    if (!first_byte_sent_) first_byte_sent_ = Clock::now();
    bytes_out_ += written;
    bytes.remove_prefix(written);
  }
}

void Connection::on_write_deadline() {
  if (exchange_ != nullptr) ++context_.stats.cut_off;
  transport_.abort();
}

// From here on nothing is sent. Idempotent.
void Connection::lose_client() {
  client_gone_ = true;
  transport_.close();
  if (exchange_ != nullptr) exchange_->tell_disconnect();
}

void Connection::log_access(const Request& request, int status) {
  const auto& hook = context_.options.hooks.access_log;
  if (!hook) return;
  AccessRecord record;
  record.method = request.method;
  record.path = request.path;
  record.status = status;
  record.bytes_in = bytes_in_;
  record.bytes_out = bytes_out_;
  record.duration = Clock::now() - began_;
  if (first_byte_sent_) record.time_to_first_byte = *first_byte_sent_ - began_;
  record.remote_address = remote_address_;
  record.request_id = request.id;
  record.client_gone = client_gone_;
  try {
    hook(record);
  } catch (const std::exception& failure) {
    log::error("request {}: access_log failed: {}", request.id, failure.what());
  }
}

}  // namespace fastchat::http
