#include "emulator/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "emulator/errors.h"
#include "emulator/memory.h"
#include "emulator/op.h"
#include "emulator/settings.h"

namespace emulator {
namespace {

std::chrono::milliseconds seconds_of(const char* variable, int64_t fallback) {
  if (settings().hccl_timeout) return *settings().hccl_timeout;
  const char* text = std::getenv(variable);
  return std::chrono::seconds(text == nullptr ? fallback : std::strtoll(text, nullptr, 10));
}

Deadline deadline_in(std::chrono::milliseconds timeout) {
  return timeout.count() == 0 ? Deadline() : Clock::now() + timeout;
}

std::string describe(const Signature& signature) {
  return fmt::format("{}(count {}, dtype {}, op {}, root {})",
                     signature.name,
                     signature.count,
                     signature.dtype,
                     signature.op,
                     signature.root);
}

// With the lock held.
void break_group(Group& group, const std::string& why) {
  group.broken = true;
  group.why = why;
  runtime().notify();
}

[[noreturn]] void give_up(const Group& group) {
  throw DeviceFault{ACL_ERROR_RT_TASK_TIMEOUT, group.why};
}

// One side of a hand-over looks for the other; the second to come copies.
std::shared_ptr<Group::Message> post(Group& group,
                                     uint32_t rank,
                                     const Transfer& transfer,
                                     Simulated time) {
  const Group::Channel channel =
      transfer.is_send ? Group::Channel{rank, transfer.peer} : Group::Channel{transfer.peer, rank};
  auto& waiting = transfer.is_send ? group.awaited[channel] : group.sent[channel];
  auto mine = std::make_shared<Group::Message>(
      Group::Message{transfer.bytes, transfer.size, transfer.dtype, time});
  if (waiting.empty()) {
    (transfer.is_send ? group.sent : group.awaited)[channel].push_back(mine);
    return mine;
  }
  const auto other = waiting.front();
  waiting.pop_front();
  if (other->size != mine->size || other->dtype != mine->dtype) {
    break_group(group,
                fmt::format("ranks {} and {} disagree on a message: {} and {} bytes",
                            channel.first,
                            channel.second,
                            mine->size,
                            other->size));
    return mine;
  }
  if (mine->size > 0 && !paced()) {
    std::memcpy(transfer.is_send ? other->bytes : mine->bytes,
                transfer.is_send ? mine->bytes : other->bytes,
                mine->size);
  }
  mine->time = other->time = std::max(mine->time, other->time);
  mine->taken = true;
  other->taken = true;
  runtime().notify();
  return mine;
}

}  // namespace

HandleTable<Communicator, 7>& communicators() {
  static HandleTable<Communicator, 7>& table = *new HandleTable<Communicator, 7>();
  return table;
}

Communicator::~Communicator() { uncharge(*card, charged); }

std::chrono::milliseconds connect_timeout() { return seconds_of("HCCL_CONNECT_TIMEOUT", 120); }
std::chrono::milliseconds exec_timeout() { return seconds_of("HCCL_EXEC_TIMEOUT", 1836); }

void meet(Stream& stream,
          Communicator& comm,
          const Signature& signature,
          Part part,
          const std::function<void(std::vector<Part>&)>& combine) {
  Runtime& state = runtime();
  Group& group = *comm.group;
  std::unique_lock lock(state.mutex);
  if (group.broken) give_up(group);
  const uint64_t number = comm.run++;
  Group::Round& round = group.rounds[number];
  if (round.arrived == 0) {
    round.signature = signature;
    round.parts.resize(group.num_ranks());
  } else if (round.signature != signature) {
    break_group(group,
                fmt::format("collective {} of {}: rank {} runs {}, others {}",
                            number,
                            group.name,
                            comm.rank,
                            describe(signature),
                            describe(round.signature)));
    give_up(group);
  }
  round.parts[comm.rank] = std::move(part);
  round.time = std::max(round.time, stream.time);
  if (++round.arrived == group.num_ranks()) {
    lock.unlock();
    try {
      combine(round.parts);
    } catch (const DeviceFault& fault) {
      lock.lock();
      break_group(group, fault.message);
      throw;
    }
    lock.lock();
    round.done = true;
    state.notify();
  } else {
    lock.unlock();
    wait_in_task(
        stream,
        [&] { return round.done || group.broken; },
        deadline_in(exec_timeout()),
        ACL_ERROR_RT_TASK_TIMEOUT,
        fmt::format("the other ranks of {} ({})", group.name, signature.name));
    lock.lock();
    if (!round.done) give_up(group);
  }
  stream.time = round.time;
  if (++round.left == group.num_ranks()) group.rounds.erase(number);
}

void exchange(Stream& stream, Communicator& comm, const std::vector<Transfer>& transfers) {
  Group& group = *comm.group;
  std::vector<std::shared_ptr<Group::Message>> messages;
  {
    const std::lock_guard lock(runtime().mutex);
    if (group.broken) give_up(group);
    for (const Transfer& transfer : transfers)
      messages.push_back(post(group, comm.rank, transfer, stream.time));
  }
  const auto all_taken = [&] {
    for (const auto& message : messages) {
      if (!message->taken) return false;
    }
    return true;
  };
  wait_in_task(
      stream,
      [&] { return group.broken || all_taken(); },
      deadline_in(exec_timeout()),
      ACL_ERROR_RT_TASK_TIMEOUT,
      "a peer of " + group.name);
  const std::lock_guard lock(runtime().mutex);
  if (!all_taken()) give_up(group);
  for (const auto& message : messages) stream.time = std::max(stream.time, message->time);
}

void check_same_order(Communicator& comm, const Signature& signature) {
  const std::lock_guard lock(runtime().mutex);
  Group& group = *comm.group;
  if (group.broken) refuse_call(HCCL_E_PARA, group.why);
  const uint64_t number = comm.issued++;
  Group::Issue& issue = group.issues[number];
  if (issue.ranks == 0) {
    issue.signature = signature;
  } else if (issue.signature != signature) {
    break_group(group,
                fmt::format("call {} on {}: rank {} calls {}, another rank {}",
                            number,
                            group.name,
                            comm.rank,
                            describe(signature),
                            describe(issue.signature)));
    refuse_call(HCCL_E_PARA, group.why);
  }
  if (++issue.ranks == group.num_ranks()) group.issues.erase(number);
}

}  // namespace emulator
