// What all connections of a server share.
#pragma once

#include <atomic>

#include "http/server.h"

namespace fastchat::http {

/// Outlives the connections.
struct ServerContext {
  const ServerOptions options;
  const Handler handler;
  ServerStats stats;
  std::atomic<bool> draining{false};
};

}  // namespace fastchat::http
