// Where a server listens, and why it may not.
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

ServerOptions listen_on(std::vector<std::string> addresses, std::uint16_t port = 0) {
  ServerOptions options;
  options.addresses = std::move(addresses);
  options.port = port;
  return options;
}

std::string failure_of(ServerOptions options) {
  try {
    Server server(std::move(options), answer_by_path);
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "(none)";
}

TEST(Listen, OnIpv4AndIpv6AtTheSamePort) {
  Server server(listen_on({"0.0.0.0", "::"}), answer_by_path);
  EXPECT_NE(RawClient(server.port(), "127.0.0.1").ask(get("/show")).body.find("from 127.0.0.1\n"),
            std::string::npos);
  EXPECT_NE(RawClient(server.port(), "::1").ask(get("/show")).body.find("from ::1\n"),
            std::string::npos);
}

TEST(Listen, OnIpv6Alone) {
  Server server(listen_on({"::1"}), answer_by_path);
  EXPECT_EQ(RawClient(server.port(), "::1").ask(get("/show")).status, 200);
  EXPECT_THROW(RawClient(server.port(), "127.0.0.1"), std::runtime_error);
}

TEST(Listen, TakenPortIsAFailure) {
  Server server({}, answer_by_path);
  EXPECT_EQ(failure_of(listen_on({"127.0.0.1"}, server.port())),
            fmt::format("cannot listen on 127.0.0.1: port {} is in use; stop the program that uses "
                        "it, or take another port",
                        server.port()));
}

TEST(Listen, PortIsFreeAgainAtOnce) {
  std::uint16_t port = 0;
  {
    Server server({}, answer_by_path);
    port = server.port();
    RawClient client(port);
    EXPECT_EQ(client.ask(get("/show")).status, 200);
  }
  Server again(listen_on({"127.0.0.1"}, port), answer_by_path);
  EXPECT_EQ(RawClient(port).ask(get("/show")).status, 200);
}

TEST(Listen, BadAddressIsAFailure) {
  EXPECT_EQ(failure_of(listen_on({"localhost"})),
            "cannot listen on 'localhost': expected an IPv4 or IPv6 address, such as 127.0.0.1, "
            "::1, 0.0.0.0 or ::");
  EXPECT_EQ(failure_of(listen_on({})), "cannot listen: expected at least one address, got none");
  // An address for documentation, which no machine has.
  EXPECT_EQ(failure_of(listen_on({"192.0.2.1"})),
            "cannot listen on 192.0.2.1: Cannot assign requested address");
}

TEST(Listen, NeedsAThread) {
  ServerOptions options;
  options.threads = 0;
  EXPECT_EQ(failure_of(std::move(options)), "expected at least one HTTP thread, got 0");
}

}  // namespace
}  // namespace fastchat::http
