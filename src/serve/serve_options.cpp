#include "serve/serve_options.h"

#include <CLI/CLI.hpp>

#include "serve/flag_checks.h"
#include "serve/language.h"

namespace fastchat::serve {

void add_serve_options(CLI::App& app, ServeOptions& options) {
  add_model_options(app, options.model);
  const std::string group = say("Server", "服务");
  app.add_option("--host",
                 options.hosts,
                 say("addresses to listen on, IPv4 or IPv6; 0.0.0.0,:: for all of this machine's",
                     "监听地址，IPv4 或 IPv6；0.0.0.0,:: 表示本机全部地址"))
      ->delimiter(',')
      ->capture_default_str()
      ->group(group);
  app.add_option("--port",
                 options.port,
                 say("0: any that is free, which is printed", "0 表示任选空闲端口并显示"))
      ->capture_default_str()
      ->group(group);
  app.add_option("--served-model-name,--model-names",
                 options.names,
                 say("what clients call the model, several with commas (default: the last part of\n"
                     "--model-path)",
                     "客户端使用的模型名称，可用逗号给出多个（默认为 --model-path 的最后一部分）"))
      ->delimiter(',')
      ->type_name(say("NAME,…", "名称,…"))
      ->group(group);
  app.add_option("--http-threads",
                 options.http_threads,
                 say("threads that read requests and write answers", "读取请求并写出回答的线程数"))
      ->check(in_range(1, 64))
      ->capture_default_str()
      ->group(group);
  auto* const certificate =
      app.add_option("--ssl-certfile",
                     options.ssl_certfile,
                     say("certificate chain in PEM: serve https (SIGHUP reads it again)",
                         "PEM 证书链：使用 https（SIGHUP 重新读取）"))
          ->type_name(say("FILE", "文件"))
          ->group(group);
  auto* const key =
      app.add_option(
             "--ssl-keyfile", options.ssl_keyfile, say("its private key in PEM", "对应的 PEM 私钥"))
          ->type_name(say("FILE", "文件"))
          ->group(group);
  certificate->needs(key);
  key->needs(certificate);
  app.add_option(
         "--api-keys",
         options.api_keys,
         say("only clients with one of these keys may come (others see them in the list of\n"
             "processes: better in a file)",
             "只允许持有这些密钥的客户端（进程列表中可见，建议放在文件里）"))
      ->delimiter(',')
      ->type_name(say("KEY,…", "密钥,…"))
      ->group(group);
  app.add_option("--api-key-file",
                 options.api_key_file,
                 say("the same from a file, a line each: NAME KEY, or NAME sha256:HEX",
                     "从文件读取，每行一个：名称 密钥，或 名称 sha256:十六进制"))
      ->type_name(say("FILE", "文件"))
      ->group(group);
  app.add_flag("--strict-requests",
               options.is_strict,
               say("refuse requests with fields that are not known here", "拒绝含有未知字段的请求"))
      ->group(group);
  app.add_option("--drain-timeout",
                 options.drain_timeout_s,
                 say("seconds that answers under way have after SIGTERM or Ctrl-C",
                     "收到 SIGTERM 或 Ctrl-C 后，进行中的回答还可用的秒数"))
      ->check(in_range(0, 86400))
      ->capture_default_str()
      ->group(group);
}

}  // namespace fastchat::serve
