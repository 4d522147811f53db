// Communicators: who belongs together, and how the streams of its ranks meet.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emulator/runtime.h"

namespace emulator {

/// What every rank must say alike about a collective.
struct Signature {
  const char* name = "";
  uint64_t count = 0;
  int dtype = 0;
  int op = 0;
  uint32_t root = 0;

  bool operator==(const Signature&) const = default;
};

/// What one rank brings: host views of its buffers, and its own counts where they differ among
/// ranks.
struct Part {
  const std::byte* send = nullptr;
  std::byte* receive = nullptr;
  std::vector<uint64_t> send_bytes, send_offsets, receive_bytes, receive_offsets;  // per peer
};

/// The ranks of a communicator. Guarded by the runtime's lock.
struct Group {
  std::string name;
  std::vector<int> cards;  // by rank
  bool broken = false;     // ranks disagreed: whoever waits gives up
  std::string why;

  struct Round {
    Signature signature;
    std::vector<Part> parts;
    size_t arrived = 0;
    size_t left = 0;
    bool done = false;
    Simulated time{0};  // when the last rank came
  };
  std::map<uint64_t, Round> rounds;  // by the number of the collective, as the ranks run them

  struct Issue {
    Signature signature;
    size_t ranks = 0;
  };
  std::map<uint64_t, Issue> issues;  // by the number of the call

  struct Message {
    std::byte* bytes = nullptr;
    uint64_t size = 0;
    int dtype = 0;
    Simulated time{0};  // when both sides were there, once `taken`
    bool taken = false;
  };
  using Channel = std::pair<uint32_t, uint32_t>;  // from, to
  std::map<Channel, std::deque<std::shared_ptr<Message>>> sent, awaited;

  size_t num_ranks() const { return cards.size(); }
};

/// One rank's handle.
struct Communicator {
  std::shared_ptr<Group> group;
  uint32_t rank = 0;
  Card* card = nullptr;
  bool on_vector_cores = false;  // or driven by the host
  uint64_t charged = 0;          // bytes of its buffers on the card
  uint64_t issued = 0;           // collectives called, outside captures
  uint64_t run = 0;              // collectives begun on a stream

  ~Communicator();
};

HandleTable<Communicator, 7>& communicators();

std::chrono::milliseconds connect_timeout();
std::chrono::milliseconds exec_timeout();

/// Meets the other ranks with the same collective. Whoever comes last runs `combine` on all parts;
/// then all go on, in modelled time from when the last one came. On the stream's thread.
void meet(Stream& stream,
          Communicator& comm,
          const Signature& signature,
          Part part,
          const std::function<void(std::vector<Part>&)>& combine);

/// Hands bytes over to a rank, or takes them from one; both sides wait for the other.
struct Transfer {
  bool is_send = false;
  uint32_t peer = 0;
  std::byte* bytes = nullptr;
  uint64_t size = 0;
  int dtype = 0;
};
void exchange(Stream& stream, Communicator& comm, const std::vector<Transfer>& transfers);

/// Notes a call and compares it with what the other ranks called at this place: HCCL_E_PARA when it
/// differs.
void check_same_order(Communicator& comm, const Signature& signature);

size_t hccl_element_bytes(HcclDataType dtype);
/// Sums (or multiplies …) element i of all inputs in rank order; the running value is rounded to
/// the dtype at every step.
void reduce_in_rank_order(const std::vector<const std::byte*>& inputs,
                          std::byte* out,
                          uint64_t count,
                          HcclDataType dtype,
                          HcclReduceOp op);

}  // namespace emulator
