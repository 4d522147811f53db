#include "parallel/ascend/hccl_ports.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

namespace fastchat::parallel {
namespace {

constexpr int kDefaultPort = 60000;
constexpr int kLastPort = 65535;

bool is_free(int port) {
  const int socket_id = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_id < 0) return true;  // no networks to be in conflict on; HCCL will say more
  // Without this, ports of connections that ended a minute ago would count as taken.
  const int reuse = 1;
  setsockopt(socket_id, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const bool free =
      bind(socket_id, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(socket_id);
  return free;
}

/// -1: all are free.
int first_taken(int base) {
  for (int port = base; port < base + kNumHcclPorts; ++port)
    if (!is_free(port)) return port;
  return -1;
}

}  // namespace

std::optional<int> find_free_ports(int first) {
  for (int base = first; base + kNumHcclPorts - 1 <= kLastPort; base += kNumHcclPorts)
    if (first_taken(base) < 0) return base;
  return std::nullopt;
}

void choose_hccl_ports() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Ranges are the newer way to say it, and HCCL picks within them.
    for (const char* const name : {"HCCL_HOST_SOCKET_PORT_RANGE", "HCCL_NPU_SOCKET_PORT_RANGE"})
      if (std::getenv(name) != nullptr) return;
    if (const char* const asked = std::getenv("HCCL_IF_BASE_PORT"); asked != nullptr) {
      int base = 0;
      std::from_chars(asked, asked + std::strlen(asked), base);
      if (base <= 0 || base + kNumHcclPorts - 1 > kLastPort) return;  // HCCL's to refuse
      const int taken = first_taken(base);
      check(taken < 0,
            "HCCL_IF_BASE_PORT={}: port {} is in use; the cards of a group need {} free ports from "
            "there on. Choose others, or leave the variable out",
            base,
            taken,
            kNumHcclPorts);
      return;
    }
    const std::optional<int> base = find_free_ports(kDefaultPort);
    check(
        base.has_value(),
        "no {} consecutive ports from {} on are free, which the cards of a group need to find each "
        "other; set HCCL_IF_BASE_PORT to where they are",
        kNumHcclPorts,
        kDefaultPort);
    if (*base != kDefaultPort)
      log::info("npu: ports {} to {} for the cards of a group (HCCL_IF_BASE_PORT)",
                *base,
                *base + kNumHcclPorts - 1);
    setenv("HCCL_IF_BASE_PORT", std::to_string(*base).c_str(), 0);
  });
}

}  // namespace fastchat::parallel
