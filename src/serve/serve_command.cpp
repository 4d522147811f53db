// `fastchat serve`: one model behind the OpenAI-compatible API.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/log.h"
#include "http/server.h"
#include "serve/api/answer_parts.h"
#include "serve/api/dispatcher.h"
#include "serve/cli/load_progress.h"
#include "serve/cli/start_report.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/exit_status.h"
#include "serve/language.h"
#include "serve/model_instance.h"
#include "serve/model_path.h"
#include "serve/serve_options.h"
#include "serve/stop_signals.h"

namespace fastchat::serve {
namespace {

/// What it needs of a model before minutes of loading.
void require_model(const ServeOptions& options) {
  if (options.model.model_path.empty())
    throw UsageFailure(
        say("a server needs --model-path: a folder with config.json, weights and tokenizer",
            "服务需要 --model-path：包含 config.json、权重和分词器的文件夹"));
}

api::ServedModel serve_model(ModelInstance& model, const ServeOptions& options) {
  check(model.tokenizer() != nullptr,
        fmt::runtime(text("{}: no tokenizer", "{}：没有分词器")),
        options.model.model_path);  // dummy weights load without
  api::ServedModel served;
  served.id = options.names.empty() ? model.name() : options.names.front();
  if (options.names.size() > 1)
    served.other_names.assign(options.names.begin() + 1, options.names.end());
  served.created = api::unix_seconds();
  served.engine = &model.engine();
  served.tokenizer = model.tokenizer();
  served.chat_template = model.chat_template();
  served.thinks = model.tokenizer()->token_to_id("</think>").has_value();
  Result<engine::SamplingParams> defaults = api::read_sampling_defaults(options.model.model_path);
  check(defaults.has_value(), "{}", defaults ? std::string() : defaults.error().message);
  served.defaults = *defaults;
  return served;
}

api::ApiKeys read_keys(const ServeOptions& options) {
  api::ApiKeys keys;
  for (std::size_t i = 0; i < options.api_keys.size(); ++i)
    keys.add(fmt::format("key-{}", i + 1), options.api_keys[i]);
  if (options.api_key_file.empty()) return keys;
  std::ifstream file(options.api_key_file);
  if (!file)
    throw UsageFailure(say_with("--api-key-file: {} cannot be read: {}",
                                "--api-key-file：无法读取 {}：{}",
                                options.api_key_file,
                                system_text(errno)));
  if (const Result<void> read = keys.add_file(file); !read)
    throw UsageFailure(
        fmt::format("--api-key-file: {}: {}", options.api_key_file, read.error().message));
  if (keys.empty())
    throw UsageFailure(say_with(
        "--api-key-file: {} has no key", "--api-key-file：{} 中没有密钥", options.api_key_file));
  return keys;
}

bool is_loopback(const std::string& host) {
  return host == "::1" || host == "localhost" || host.starts_with("127.");
}

/// Where clients find it, and who may come.
void print_addresses(const ServeOptions& options, std::uint16_t port, const std::string& name) {
  for (const std::string& host : options.hosts) {
    const bool is_v6 = host.find(':') != std::string::npos;
    fmt::print(stderr,
               fmt::runtime(text("{}://{}:{}/v1 serves {}\n", "{}://{}:{}/v1 提供 {}\n")),
               options.ssl_certfile.empty() ? "http" : "https",
               is_v6 ? "[" + host + "]" : host,
               port,
               name);
  }
  if (std::all_of(options.hosts.begin(), options.hosts.end(), is_loopback))
    fmt::print(stderr,
               "{}\n",
               text("Only this machine can reach it; --host 0.0.0.0 lets others. Ctrl-C ends it.",
                    "只有本机可以访问；--host 0.0.0.0 允许其他机器访问。按 Ctrl-C 结束。"));
  else if (options.api_keys.empty() && options.api_key_file.empty())
    fmt::print(stderr,
               "{}\n",
               text("Everybody who reaches it may use it: --api-key-file asks for keys.",
                    "凡能访问者均可使用：--api-key-file 可要求密钥。"));
}

http::ServerOptions server_options(const ServeOptions& options) {
  http::ServerOptions server;
  server.addresses = options.hosts;
  server.port = options.port;
  server.threads = options.http_threads;
  if (!options.ssl_certfile.empty())
    server.tls = http::TlsOptions{.certificate_chain_file = options.ssl_certfile,
                                  .key_file = options.ssl_keyfile};
  server.hooks = api::error_hooks();
  return server;
}

}  // namespace

int run_serve(int argc, char** argv) {
  ServeOptions options;
  CLI::App app("", "fastchat serve");
  add_serve_options(app, options);
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;
  require_model(options);
  resolve_model_path(options.model);

  StopSignals signals;
  api::ApiContext context({.keys = read_keys(options), .is_strict = options.is_strict});
  std::unique_ptr<ModelInstance> model;  // outlives the server's handlers
  // Before the model: a port that is taken is known at once, and /ready tells how far loading is.
  http::Server server(server_options(options), api::make_handler(context));
  {
    LoadProgress progress(STDERR_FILENO, isatty(STDERR_FILENO) == 1);
    model = std::make_unique<ModelInstance>(options.model,
                                            [&](std::uint64_t done, std::uint64_t total) {
                                              progress.update(done, total);
                                              context.set_loading_progress(done, total);
                                            });
  }
  std::vector<api::ServedModel> models;
  models.push_back(serve_model(*model, options));
  const std::string name = models.front().id;
  context.set_models(std::move(models));
  fmt::print(stderr, "{}", start_report(*model, false));
  print_addresses(options, server.port(), name);

  signals.begin_serving([&server, &options] {
    if (options.ssl_certfile.empty()) return;
    if (const Result<void> reloaded = server.reload_tls(); !reloaded)
      log::error("{}", reloaded.error().message);
    else
      log::info("the certificate has been read again");
  });
  signals.wait_for_stop();
  context.set_draining();
  fmt::print(stderr,
             "{}\n",
             text("Finishing the answers under way; a second signal ends them.",
                  "正在完成进行中的回答；再次发送信号将立即结束。"));
  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<std::int64_t>(options.drain_timeout_s * 1000));
  if (const std::size_t num_cut = server.drain(deadline); num_cut > 0)
    log::warn("{} answers were cut off", num_cut);
  server.stop();
  return 0;
}

}  // namespace fastchat::serve
