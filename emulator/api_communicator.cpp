// Entry points for communicators.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "emulator/communicator.h"
#include "emulator/costs.h"
#include "emulator/entry.h"
#include "emulator/memory.h"
#include "emulator/op.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

// Ranks that are on their way to one communicator. Guarded by the runtime's lock.
struct Meeting {
  uint32_t num_ranks = 0;
  std::map<uint32_t, Card*> arrived;
  std::shared_ptr<Group> group;  // set by the last to arrive
  std::string refusal;           // or why there will be none
};

std::map<std::string, std::shared_ptr<Meeting>>& meetings() {
  static auto& under_way = *new std::map<std::string, std::shared_ptr<Meeting>>();
  return under_way;
}

// A root is found at a port of its card. Held until the process ends, as HCCL holds its own.
void listen_for_ranks(int card) {
  const char* const base = std::getenv("HCCL_IF_BASE_PORT");
  if (base == nullptr) return;
  static auto& ports = *new std::set<int>();
  const int port = std::atoi(base) + card;
  const std::lock_guard lock(runtime().mutex);
  if (ports.contains(port)) return;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int reuse = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 1) != 0) {
    close(listener);
    refuse_call(HCCL_E_TCP_CONNECT, fmt::format("port {} is in use", port));
  }
  ports.insert(port);
}

uint64_t default_buffer_mb() {
  const char* text = std::getenv("HCCL_BUFFSIZE");
  return text == nullptr ? 200 : std::strtoull(text, nullptr, 10);
}

struct Wanted {
  uint64_t buffer_mb = default_buffer_mb();
  bool on_vector_cores = vector_cores_by_default();
  std::string name;
};

Wanted read_config(const HcclCommConfig* config) {
  Wanted wanted;
  if (config == nullptr) refuse_call(HCCL_E_PTR, "the configuration is null");
  CannHcclConfigHeader header;
  std::memcpy(&header, config->reserved, sizeof header);
  if (header.magic != HCCL_COMM_CONFIG_MAGIC_WORD)
    refuse_call(HCCL_E_PARA, "the configuration was not initialised");
  const size_t needed = header.version >= 5 ? CANN_HCCL_CONFIG_V5_BYTES : CANN_HCCL_CONFIG_V2_BYTES;
  if (header.version < 1 || header.size < needed) {
    refuse_call(
        HCCL_E_PARA,
        fmt::format("a configuration of version {} with {} bytes", header.version, header.size));
  }
  const uint32_t newest = cann_version() >= 900   ? 11
                          : cann_version() >= 830 ? 6
                          : cann_version() >= 810 ? 5
                                                  : 2;
  if (header.version > newest) {
    refuse_call(
        HCCL_E_PARA,
        fmt::format(
            "a configuration of version {}; this CANN knows up to {}", header.version, newest));
  }
  if (config->hcclBufferSize != CANN_HCCL_CONFIG_NOT_SET) wanted.buffer_mb = config->hcclBufferSize;
  // Older configurations end before the field.
  constexpr uint32_t kHost = 1;
  constexpr uint32_t kVectorCores = 3;
  if (header.size >= CANN_HCCL_CONFIG_V5_BYTES && config->hcclOpExpansionMode >= kHost)
    wanted.on_vector_cores = config->hcclOpExpansionMode == kVectorCores;
  wanted.name.assign(config->hcclCommName,
                     strnlen(config->hcclCommName, sizeof config->hcclCommName));
  return wanted;
}

std::string new_name() {
  static std::atomic<uint64_t> last{0};
  return fmt::format("hccl_group_{}", ++last);
}

// With the lock held.
void open_group(Meeting& meeting, const std::string& name) {
  auto group = std::make_shared<Group>();
  group->name = name;
  std::set<int> cards;
  for (const auto& [rank, card] : meeting.arrived) {
    group->cards.push_back(card->id);
    cards.insert(card->id);
  }
  if (cards.size() != group->cards.size()) {
    meeting.refusal = "two ranks are on one card";
  } else {
    meeting.group = std::move(group);
  }
  runtime().notify();
}

// Blocks until all ranks are there, or too late.
void join(const std::string& key,
          uint32_t num_ranks,
          uint32_t rank,
          Card& card,
          const Wanted& wanted,
          HcclComm* comm) {
  if (num_ranks == 0 || rank >= num_ranks)
    refuse_call(HCCL_E_PARA, fmt::format("rank {} of {}", rank, num_ranks));
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  // One buffer for each direction.
  const uint64_t bytes = 2 * wanted.buffer_mb * 1024 * 1024;
  if (!charge(card, bytes)) {
    refuse_call(
        HCCL_E_MEMORY,
        fmt::format(
            "{} bytes of buffers on card {}, which has {} free", bytes, card.id, free_bytes(card)));
  }
  auto made = std::make_shared<Communicator>();
  made->card = &card;
  made->charged = bytes;
  made->rank = rank;
  made->on_vector_cores = wanted.on_vector_cores;
  auto& slot = meetings()[key];
  if (!slot) slot = std::make_shared<Meeting>(Meeting{.num_ranks = num_ranks});
  const auto meeting = slot;
  std::string refusal;
  if (meeting->num_ranks != num_ranks || meeting->arrived.count(rank) > 0) {
    refusal = fmt::format("rank {} of {} joins a communicator of {}, or came before",
                          rank,
                          num_ranks,
                          meeting->num_ranks);
  } else {
    meeting->arrived[rank] = &card;
    if (meeting->arrived.size() == num_ranks) {
      open_group(*meeting, wanted.name.empty() ? new_name() : wanted.name);
      meetings().erase(key);
    }
    const auto settled = [&] { return meeting->group != nullptr || !meeting->refusal.empty(); };
    if (!state.wait(lock, settled, Clock::now() + connect_timeout())) {
      meeting->arrived.erase(rank);
      if (meeting->arrived.empty()) meetings().erase(key);
      lock.unlock();
      refuse_call(HCCL_E_TIMEOUT, "the other ranks did not come");
    }
    refusal = meeting->refusal;
    made->group = meeting->group;
  }
  lock.unlock();
  if (!refusal.empty()) refuse_call(HCCL_E_PARA, refusal);
  *comm = communicators().add(std::move(made));
}

void require(const void* pointer, const char* what) {
  if (pointer == nullptr) refuse_call(HCCL_E_PTR, fmt::format("{} is null", what));
}

std::shared_ptr<Communicator> require_comm(HcclComm comm) {
  require(comm, "the communicator");
  auto found = communicators().find(comm);
  if (!found) refuse_call(HCCL_E_PARA, fmt::format("{} is no live communicator", comm));
  return found;
}

std::string key_of(const HcclRootInfo& root) {
  return {root.internal, strnlen(root.internal, sizeof root.internal)};
}

// Codes of the runtime reach clients as HCCL_E_RUNTIME.
template <typename Body>
HcclResult guarded_comm(const char* call, const Body& body) {
  return guarded_hccl(call, [&] {
    try {
      body();
    } catch (const Refused& refused) {
      if (refused.code < 100000) throw;
      refuse_call(HCCL_E_RUNTIME, fmt::format("{}: {}", refused.code, refused.why));
    }
  });
}

}  // namespace

HcclResult HcclGetRootInfo(HcclRootInfo* root) {
  return guarded_comm("HcclGetRootInfo", [&] {
    require(root, "the root info");
    listen_for_ranks(require_context()->card->id);
    *root = {};
    const std::string name = new_name();
    std::copy(name.begin(), name.end(), root->internal);
  });
}

HcclResult HcclCommInitRootInfo(uint32_t num_ranks,
                                const HcclRootInfo* root,
                                uint32_t rank,
                                HcclComm* comm) {
  return guarded_comm("HcclCommInitRootInfo", [&] {
    require(root, "the root info");
    require(comm, "the communicator");
    join(key_of(*root), num_ranks, rank, *require_context()->card, {}, comm);
  });
}

HcclResult HcclCommInitRootInfoConfig(uint32_t num_ranks,
                                      const HcclRootInfo* root,
                                      uint32_t rank,
                                      const HcclCommConfig* config,
                                      HcclComm* comm) {
  return guarded_comm("HcclCommInitRootInfoConfig", [&] {
    require(root, "the root info");
    require(comm, "the communicator");
    join(key_of(*root), num_ranks, rank, *require_context()->card, read_config(config), comm);
  });
}

HcclResult HcclCommInitAll(uint32_t num_devices, int32_t* devices, HcclComm* comms) {
  return guarded_comm("HcclCommInitAll", [&] {
    require(devices, "the list of devices");
    require(comms, "the list of communicators");
    require_initialised();
    std::vector<Card*> cards;
    for (uint32_t rank = 0; rank < num_devices; ++rank)
      cards.push_back(&require_card(devices[rank]));
    const std::string key = new_name();
    std::vector<std::optional<Refused>> refusals(num_devices);
    std::vector<std::thread> ranks;
    for (uint32_t rank = 0; rank < num_devices; ++rank) {
      ranks.emplace_back([&, rank] {
        try {
          join(key, num_devices, rank, *cards[rank], {}, &comms[rank]);
        } catch (const Refused& refused) {
          refusals[rank] = refused;
          // The others must not wait for this one.
          const std::lock_guard lock(runtime().mutex);
          auto& meeting = meetings()[key];
          if (!meeting) meeting = std::make_shared<Meeting>(Meeting{.num_ranks = num_devices});
          meeting->refusal = "another rank was refused";
          runtime().notify();
        }
      });
    }
    for (auto& thread : ranks) thread.join();
    {
      const std::lock_guard lock(runtime().mutex);
      meetings().erase(key);
    }
    // First the refusal that led to the others.
    const auto no_memory = std::find_if(refusals.begin(), refusals.end(), [](const auto& refused) {
      return refused && refused->code == HCCL_E_MEMORY;
    });
    if (no_memory != refusals.end()) throw Refused(**no_memory);
    for (const auto& refused : refusals) {
      if (refused) throw Refused(*refused);
    }
  });
}

HcclResult HcclCreateSubCommConfig(HcclComm* parent,
                                   uint32_t num_ranks,
                                   uint32_t* ranks,
                                   uint64_t id,
                                   uint32_t rank,
                                   HcclCommConfig* config,
                                   HcclComm* comm) {
  return guarded_comm("HcclCreateSubCommConfig", [&] {
    require(parent, "the parent");
    require(comm, "the communicator");
    const auto found = require_comm(*parent);
    if (ranks == nullptr) {  // this rank is none of them
      *comm = nullptr;
      return;
    }
    if (rank >= num_ranks || ranks[rank] != found->rank) {
      refuse_call(
          HCCL_E_PARA,
          fmt::format("rank {} of the parent is not rank {} of the list", found->rank, rank));
    }
    join(fmt::format("{}/{}", found->group->name, id),
         num_ranks,
         rank,
         *found->card,
         read_config(config),
         comm);
  });
}

HcclResult HcclCommDestroy(HcclComm comm) {
  return guarded_comm("HcclCommDestroy", [&] {
    require_comm(comm);
    communicators().remove(comm);
  });
}

HcclResult HcclGetRankSize(HcclComm comm, uint32_t* num_ranks) {
  return guarded_comm("HcclGetRankSize", [&] {
    require(num_ranks, "the result");
    *num_ranks = static_cast<uint32_t>(require_comm(comm)->group->num_ranks());
  });
}

HcclResult HcclGetRankId(HcclComm comm, uint32_t* rank) {
  return guarded_comm("HcclGetRankId", [&] {
    require(rank, "the result");
    *rank = require_comm(comm)->rank;
  });
}

HcclResult HcclGetCommName(HcclComm comm, char* name) {
  return guarded_comm("HcclGetCommName", [&] {
    require(name, "the result");
    constexpr size_t kRoom = sizeof(HcclCommConfig::hcclCommName);
    std::memset(name, 0, kRoom);
    require_comm(comm)->group->name.copy(name, kRoom - 1);
  });
}

HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult* error) {
  return guarded_comm("HcclGetCommAsyncError", [&] {
    require(error, "the result");
    const auto found = require_comm(comm);
    const std::lock_guard lock(runtime().mutex);
    *error = found->group->broken ? HCCL_E_REMOTE : HCCL_SUCCESS;
  });
}

const char* HcclGetErrorString(HcclResult result) {
  switch (result) {
    case HCCL_SUCCESS:
      return "success";
    case HCCL_E_PARA:
      return "parameter error";
    case HCCL_E_PTR:
      return "null pointer";
    case HCCL_E_MEMORY:
      return "memory error";
    case HCCL_E_INTERNAL:
      return "internal error";
    case HCCL_E_NOT_SUPPORT:
      return "not supported";
    case HCCL_E_TIMEOUT:
      return "time-out";
    case HCCL_E_RUNTIME:
      return "runtime call failed";
    case HCCL_E_REMOTE:
      return "remote error";
    default:
      return "other error";
  }
}

uint32_t HcclGetCommConfigCapability() { return cann_version() >= 810 ? 5 : 3; }

namespace {

std::atomic<int32_t>& deterministic() {
  static std::atomic<int32_t> value{0};
  return value;
}

}  // namespace

HcclResult HcclSetConfig(HcclConfig config, HcclConfigValue value) {
  return guarded_comm("HcclSetConfig", [&] {
    if (config != HCCL_DETERMINISTIC)
      refuse_call(HCCL_E_PARA, fmt::format("option {}", static_cast<int>(config)));
    deterministic() = value.value;
  });
}

HcclResult HcclGetConfig(HcclConfig config, HcclConfigValue* value) {
  return guarded_comm("HcclGetConfig", [&] {
    require(value, "the result");
    if (config != HCCL_DETERMINISTIC)
      refuse_call(HCCL_E_PARA, fmt::format("option {}", static_cast<int>(config)));
    value->value = deterministic();
  });
}
// NOLINTEND(readability-identifier-naming)
