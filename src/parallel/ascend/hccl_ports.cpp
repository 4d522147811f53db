#include "parallel/ascend/hccl_ports.h"

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <system_error>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
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

/// Services that start together all find the same ports free: the first to lock their file has
/// them, until it ends. True as well where no file can be made.
bool take_turn(int base) {
  std::error_code no_folder;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(no_folder);
  if (no_folder) return true;
  const std::string path = (folder / fmt::format("fastchat-hccl-{}.lock", base)).string();
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0 || flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;
  close(file);
  return false;
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
    std::optional<int> base = find_free_ports(kDefaultPort);
    while (base && !take_turn(*base)) base = find_free_ports(*base + kNumHcclPorts);
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
