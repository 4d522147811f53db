// Flags of `fastchat serve`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/model_options.h"

namespace fastchat::serve {

struct ServeOptions {
  ModelOptions model;
  std::vector<std::string> hosts = {"127.0.0.1"};  // --host
  std::uint16_t port = 8000;                       // --port; 0 = any that is free
  std::vector<std::string> names;                  // --served-model-name: the first is the id
  int http_threads = 2;                            // --http-threads
  std::string ssl_certfile;                        // --ssl-certfile, --ssl-keyfile
  std::string ssl_keyfile;
  std::vector<std::string> api_keys;  // --api-keys
  std::string api_key_file;           // --api-key-file
  bool is_strict = false;             // --strict-requests
  double drain_timeout_s = 30;        // --drain-timeout
};

/// Adds the flags to `app`. `options` outlives the parse.
void add_serve_options(CLI::App& app, ServeOptions& options);

}  // namespace fastchat::serve
