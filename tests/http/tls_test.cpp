// TLS: answers, streams, certificates that change or are wrong.
#include <filesystem>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/check.h"
#include "http/signal.h"
#include "tests/http/certificates.h"
#include "tests/http/raw_client.h"
#include "tests/http/small_server.h"

namespace fastchat::http {
namespace {

ServerOptions with_tls(const TlsOptions& tls) {
  ServerOptions options;
  options.tls = tls;
  return options;
}

TEST(Tls, AnswersAndStreams) {
  const TemporaryFolder folder;
  Server server(with_tls(write_certificate(folder.path(), "first")), answer_by_path);
  RawClient client(server.port());
  ASSERT_TRUE(client.start_tls());
  const std::string body(3 << 20, 'x');
  EXPECT_EQ(client.ask(post("/echo", body)).body, body);
  EXPECT_EQ(client.ask(get("/stream")).body, "one two three");
  EXPECT_EQ(client.ask(get("/show", "Connection: close\r\n")).status, 200);
  EXPECT_EQ(client.read_to_close(), "");
}

TEST(Tls, DisconnectIsNoticedWhileTheHandlerWrites) {
  const TemporaryFolder folder;
  Event running;
  Event told;
  Event ended;
  Server server(with_tls(write_certificate(folder.path(), "first")),
                [&](Exchange& exchange) -> asio::awaitable<void> {
                  exchange.on_disconnect([&] { told.set(); });
                  co_await exchange.begin_stream(200, "text/plain");
                  running.set();
                  try {
                    while (true) co_await exchange.write("a token or two ");
                  } catch (const boost::system::system_error&) {
                    ended.set();
                  }
                });
  RawClient client(server.port());
  ASSERT_TRUE(client.start_tls());
  client.send(get("/"));
  ASSERT_TRUE(running.wait());
  client.send(get("/next"));  // read while the answer is written
  EXPECT_NE(client.read_until("token").size(), 0);
  client.close();
  EXPECT_TRUE(told.wait());
  EXPECT_TRUE(ended.wait());
}

TEST(Tls, PlainTextIsNoHandshake) {
  const TemporaryFolder folder;
  Server server(with_tls(write_certificate(folder.path(), "first")), answer_by_path);
  RawClient plain(server.port());
  plain.send(get("/show"));
  EXPECT_EQ(plain.read_to_close().find("200"), std::string::npos);
  RawClient client(server.port());
  EXPECT_TRUE(client.start_tls());
}

TEST(Tls, SilentClientsAreClosed) {
  const TemporaryFolder folder;
  ServerOptions options = with_tls(write_certificate(folder.path(), "first"));
  options.limits.header_timeout = std::chrono::milliseconds(50);
  Server server(std::move(options), answer_by_path);
  EXPECT_EQ(RawClient(server.port()).read_to_close(), "");
}

TEST(Tls, ReloadedCertificateIsForNewHandshakes) {
  const TemporaryFolder folder;
  const TlsOptions files = write_certificate(folder.path(), "first");
  Server server(with_tls(files), answer_by_path);
  RawClient early(server.port());
  ASSERT_TRUE(early.start_tls());
  EXPECT_EQ(early.certificate_name(), "first");

  write_certificate(folder.path(), "second");
  EXPECT_TRUE(server.reload_tls());
  RawClient later(server.port());
  ASSERT_TRUE(later.start_tls());
  EXPECT_EQ(later.certificate_name(), "second");
  EXPECT_EQ(early.ask(get("/show")).status, 200);

  write_file(files.certificate_chain_file, "no certificate");
  const Result<void> reloaded = server.reload_tls();
  ASSERT_FALSE(reloaded);
  EXPECT_NE(reloaded.error().message.find("expected a certificate chain in PEM"),
            std::string::npos);
  EXPECT_NE(reloaded.error().message.find("loaded before stays in use"), std::string::npos);
  RawClient last(server.port());
  ASSERT_TRUE(last.start_tls());
  EXPECT_EQ(last.certificate_name(), "second");
}

TEST(Tls, BadCertificateIsAFailure) {
  const TemporaryFolder folder;
  const auto failure_of = [](const TlsOptions& files) -> std::string {
    try {
      Server server(with_tls(files), answer_by_path);
    } catch (const Failure& failure) {
      return failure.what();
    }
    return "(none)";
  };
  const TlsOptions files = write_certificate(folder.path(), "first");
  EXPECT_EQ(failure_of(files), "(none)");
  const std::string missing = (folder.path() / "missing.pem").string();
  EXPECT_NE(failure_of({missing, files.key_file})
                .find("expected a certificate chain in PEM in '" + missing + "'"),
            std::string::npos);
  EXPECT_NE(failure_of({files.certificate_chain_file, missing}).find("expected the private key"),
            std::string::npos);
  // A good key, of another certificate.
  std::filesystem::create_directory(folder.path() / "other");
  const TlsOptions other = write_certificate(folder.path() / "other", "other");
  const std::string mixed = failure_of({files.certificate_chain_file, other.key_file});
  EXPECT_NE(mixed, "(none)");
  EXPECT_EQ(mixed.find('\n'), std::string::npos) << mixed;
}

TEST(Tls, ReloadNeedsTls) {
  Server server({}, answer_by_path);
  EXPECT_FALSE(server.reload_tls());
}

}  // namespace
}  // namespace fastchat::http
