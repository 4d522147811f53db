// Requests and their answers: whole, streamed, one after another on a connection.
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

using namespace std::string_literals;

TEST(Answer, IsSentWhole) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  const Answer answer = client.ask(post("/echo", "hello"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.header("content-type"), "text/plain");
  EXPECT_EQ(answer.header("Content-Length"), "5");
  EXPECT_EQ(answer.header("Method"), "POST");
  EXPECT_EQ(answer.header("X-Request-Id").size(), 32);
}

TEST(Answer, IsStreamedInChunks) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  client.send(get("/stream"));
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_EQ(head.find("Content-Length"), std::string::npos);
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n");
  EXPECT_EQ(client.ask(get("/stream")).body, "one two three");
}

TEST(Answer, LargerThanSocketBuffersArrivesWhole) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  std::string body(20 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>('a' + i % 26);
  EXPECT_EQ(client.ask(post("/echo", body)).body, body);
}

TEST(Answer, RequestsFollowOnOneConnection) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(client.ask(post("/echo", std::to_string(i))).body, std::to_string(i));
  }
  EXPECT_EQ(server.stats().accepted, 1);
}

TEST(Answer, PipelinedRequestsAreAnsweredInOrder) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    requests += post("/echo", std::to_string(i)) + "\r\n" + get("/stream");
  }
  client.send(requests);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(client.read_answer().body, std::to_string(i));
    EXPECT_EQ(client.read_answer().body, "one two three");
  }
}

TEST(Answer, PipelinedRequestsBeyondTheReadAheadWait) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  const std::string body(30'000, 'y');
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += post("/echo", body);
  client.send(requests);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.read_answer().body, body);
}

TEST(Answer, RequestMayComeByteByByte) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  for (const char byte : post("/echo", "slow but sure")) client.send({&byte, 1});
  EXPECT_EQ(client.read_answer().body, "slow but sure");
}

TEST(Answer, ClosesWhenAskedTo) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  const Answer answer = client.ask(get("/show", "Connection: close\r\n"));
  EXPECT_EQ(answer.header("Connection"), "close");
  EXPECT_EQ(client.read_to_close(), "");
}

TEST(Answer, HttpOneZeroIsClosedUnlessKeptAlive) {
  Server server({}, answer_by_path);
  RawClient first(server.port());
  first.send("GET /echo HTTP/1.0\r\n\r\n");
  EXPECT_NE(first.read_to_close().find("Connection: close"), std::string::npos);
  RawClient second(server.port());
  const std::string request = "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(second.ask(request).header("Connection"), "keep-alive");
  EXPECT_EQ(second.ask(request).status, 200);
}

TEST(Answer, StreamToHttpOneZeroEndsWithTheConnection) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  client.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string answer = client.read_to_close();
  EXPECT_EQ(answer.find("Transfer-Encoding"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\none two three")) << answer;
}

TEST(Answer, ToHeadHasNoBody) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  client.send(
      "HEAD /show HTTP/1.1\r\nHost: test\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: test\r\n\r\n" +
      post("/echo", "after"));
  const Answer whole = client.read_answer(true);
  EXPECT_GT(std::stoi(whole.header("Content-Length")), 0);
  EXPECT_EQ(client.read_answer(true).header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(client.read_answer().body, "after");
}

TEST(Answer, StatusWithoutBodyHasNone) {
  Server server({}, [](Exchange& exchange) -> asio::awaitable<void> {
    co_await exchange.respond({204, "text/plain", "dropped"});
  });
  RawClient client(server.port());
  client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n" + get("/"));
  EXPECT_EQ(client.read_answer().header("Content-Length"), "(none)");
  EXPECT_EQ(client.read_answer().status, 204);
}

TEST(Answer, HandlerSeesTheParsedRequest) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  EXPECT_EQ(
      client.ask("OPTIONS /show?a=1%202&b&c=%zz+d HTTP/1.1\r\nHost: test\r\nX-One:  1 \r\n\r\n")
          .body,
      "OPTIONS /show from 127.0.0.1\n? a=1 2\n? b=\n? c=%zz d\nHost: test\nX-One: 1\n");
}

TEST(Answer, RepeatsASaneRequestId) {
  Server server({}, answer_by_path);
  RawClient client(server.port());
  const auto id_for = [&](const std::string& sent) {
    return client.ask(get("/show", "x-request-id: " + sent + "\r\n")).header("X-Request-Id");
  };
  EXPECT_EQ(id_for("my request/7"), "my request/7");
  EXPECT_EQ(id_for(std::string(128, 'a')), std::string(128, 'a'));
  EXPECT_EQ(id_for(std::string(129, 'a')).size(), 32);
  EXPECT_EQ(id_for("\xc3\xa9").size(), 32);
  EXPECT_NE(id_for(""), id_for(""));
}

TEST(Answer, FailingHandlerIsAFiveHundred) {
  log::set_sink([](log::Level, std::string_view) {});
  Server server({}, answer_by_path);
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get("/throw")).status, 500);
  EXPECT_EQ(client.ask(get("/nothing")).status, 500);
  EXPECT_EQ(client.ask(get("/show")).status, 200);
  client.send(get("/late"));
  EXPECT_TRUE(client.read_to_close().ends_with("4\r\nsome\r\n"));
  EXPECT_EQ(RawClient(server.port()).ask(get("/show")).status, 200);
  log::set_sink(nullptr);
}

TEST(Answer, UnhandledFailuresAreShapedByTheHook) {
  log::set_sink([](log::Level, std::string_view) {});
  ServerOptions options;
  options.hooks.on_unhandled = [](const Request& request, const std::exception_ptr& failure) {
    if (request.headers.contains("Break-Hook")) throw std::runtime_error("hook");
    return Response(500, "application/json", request.path + (failure ? " threw" : " did nothing"));
  };
  Server server(std::move(options), answer_by_path);
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get("/throw")).body, "/throw threw");
  EXPECT_EQ(client.ask(get("/nothing")).body, "/nothing did nothing");
  EXPECT_EQ(client.ask(get("/throw", "Break-Hook: 1\r\n")).body, "internal error\n");
  log::set_sink(nullptr);
}

TEST(Answer, CallsOutOfOrderThrowInTheHandler) {
  Server server({}, [](Exchange& exchange) -> asio::awaitable<void> {
    std::string failures;
    const auto note = [&](const std::exception& failure) { failures += failure.what() + "\n"s; };
    try {
      co_await exchange.write("too early");
    } catch (const std::logic_error& failure) {
      note(failure);
    }
    Response response;
    response.headers.add("Connection", "close");
    try {
      co_await exchange.respond(response);
    } catch (const std::invalid_argument& failure) {
      note(failure);
    }
    response.headers.fields = {{"Inject", "a\r\nb: c"}};
    try {
      co_await exchange.respond(response);
    } catch (const std::invalid_argument& failure) {
      note(failure);
    }
    response.headers.fields.clear();
    response.body = failures;
    co_await exchange.respond(response);
    try {
      co_await exchange.respond(response);
    } catch (const std::logic_error&) {
      response.body = "unused";
    }
  });
  RawClient client(server.port());
  EXPECT_EQ(client.ask(get("/")).body,
            "write called on an answer that is not begun\n"
            "header Connection is the server's to write\n"
            "header Inject has a control character\n");
  EXPECT_EQ(client.ask(get("/")).status, 200);
}

TEST(Answer, IsLogged) {
  AccessLog log;
  ServerOptions options;
  options.hooks.access_log = [&](const AccessRecord& record) { log.add(record); };
  Server server(std::move(options), answer_by_path);
  RawClient client(server.port());
  const std::string request = post("/echo?x=1", "hello");
  client.send(request);
  const std::string answer = client.read_until("hello");
  client.send("nonsense\r\n\r\n");
  client.read_to_close();
  const auto entries = log.wait_for(2);
  ASSERT_EQ(entries.size(), 2);
  const LoggedAccess& echo = entries[0];
  EXPECT_EQ(echo.method + " " + echo.path, "POST /echo");
  EXPECT_EQ(echo.record.status, 200);
  EXPECT_EQ(echo.record.bytes_in, request.size());
  EXPECT_EQ(echo.record.bytes_out, answer.size());
  EXPECT_EQ(echo.remote_address, "127.0.0.1");
  EXPECT_NE(answer.find(echo.request_id), std::string::npos);
  EXPECT_FALSE(echo.record.client_gone);
  ASSERT_TRUE(echo.record.time_to_first_byte);
  EXPECT_LE(*echo.record.time_to_first_byte, echo.record.duration);
  EXPECT_EQ(entries[1].record.status, 400);
  EXPECT_EQ(entries[1].method, "");
}

TEST(Answer, ConnectionsAreSharedOutOverThreads) {
  std::mutex mutex;
  std::vector<std::thread::id> threads;
  ServerOptions options;
  options.threads = 3;
  Server server(std::move(options), [&](Exchange& exchange) -> asio::awaitable<void> {
    {
      const std::lock_guard lock(mutex);
      threads.push_back(std::this_thread::get_id());
    }
    co_await exchange.respond({});
  });
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) clients.emplace_back(server.port());
  for (int round = 0; round < 2; ++round) {
    for (RawClient& client : clients) EXPECT_EQ(client.ask(get("/")).status, 200);
  }
  ASSERT_EQ(threads.size(), 6);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(threads[i], threads[i + 3]);
    EXPECT_NE(threads[i], threads[(i + 1) % 3]);
  }
}

}  // namespace
}  // namespace fastchat::http
