// Entry points for collectives: they check and enqueue; the streams of the ranks meet later.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include "emulator/communicator.h"
#include "emulator/costs.h"
#include "emulator/entry.h"
#include "emulator/op.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

// A call as it was made. Offsets and sizes are bytes.
struct Call {
  const char* name;
  std::shared_ptr<Communicator> comm;
  std::shared_ptr<Stream> stream;

  size_t num_ranks() const { return comm->group->num_ranks(); }
};

void require(const void* pointer, const char* what) {
  if (pointer == nullptr) refuse_call(HCCL_E_PTR, fmt::format("{} is null", what));
}

Call require_call(const char* name, HcclComm comm, aclrtStream stream) {
  require(comm, "the communicator");
  require(stream, "the stream");
  auto found = communicators().find(comm);
  if (!found) refuse_call(HCCL_E_PARA, fmt::format("{} is no live communicator", comm));
  Call call{name, std::move(found), require_stream(stream)};
  if (call.stream->card != call.comm->card) {
    refuse_call(HCCL_E_PARA,
                fmt::format("rank {} is card {}, the stream is of card {}",
                            call.comm->rank,
                            call.comm->card->id,
                            call.stream->card->id));
  }
  return call;
}

size_t require_dtype(HcclDataType dtype) {
  const size_t bytes = hccl_element_bytes(dtype);
  if (bytes == 0) refuse_call(HCCL_E_PARA, fmt::format("dtype {}", static_cast<int>(dtype)));
  return bytes;
}

// What these cards can reduce.
void require_reduction(HcclDataType dtype, HcclReduceOp op) {
  static const std::set<HcclDataType> dtypes{HCCL_DATA_TYPE_INT8,
                                             HCCL_DATA_TYPE_INT16,
                                             HCCL_DATA_TYPE_INT32,
                                             HCCL_DATA_TYPE_INT64,
                                             HCCL_DATA_TYPE_FP16,
                                             HCCL_DATA_TYPE_FP32,
                                             HCCL_DATA_TYPE_BFP16};
  if (op < HCCL_REDUCE_SUM || op > HCCL_REDUCE_MIN)
    refuse_call(HCCL_E_PARA, fmt::format("op {}", static_cast<int>(op)));
  const bool no_product = dtype == HCCL_DATA_TYPE_INT16 || dtype == HCCL_DATA_TYPE_BFP16;
  if (dtypes.count(dtype) == 0 || (op == HCCL_REDUCE_PROD && no_product)) {
    refuse_call(HCCL_E_NOT_SUPPORT,
                fmt::format("op {} of dtype {}", static_cast<int>(op), static_cast<int>(dtype)));
  }
}

void require_buffer(const void* buffer, uint64_t count, size_t alignment, const char* what) {
  if (count == 0) return;
  require(buffer, what);
  if (reinterpret_cast<uintptr_t>(buffer) % alignment != 0) {
    refuse_call(HCCL_E_PARA,
                fmt::format("{} at {}: expected a multiple of {}", what, buffer, alignment));
  }
}

void require_root(const Call& call, uint32_t root) {
  if (root >= call.num_ranks())
    refuse_call(HCCL_E_PARA, fmt::format("root {} of {} ranks", root, call.num_ranks()));
}

struct Buffers {
  const void* send = nullptr;
  uint64_t send_bytes = 0;
  void* receive = nullptr;
  uint64_t receive_bytes = 0;
};

using Combine = std::function<void(std::vector<Part>&)>;

// A rank's views of its buffers; none in the paced mode, where they only have to be there.
void find_buffers(CardMemory& memory, const Buffers& buffers, Part& part) {
  if (paced()) {
    memory.check(buffers.send, buffers.send_bytes);
    memory.check(buffers.receive, buffers.receive_bytes);
    return;
  }
  if (buffers.send_bytes > 0) part.send = memory.read(buffers.send, buffers.send_bytes);
  if (buffers.receive_bytes > 0)
    part.receive = memory.write(buffers.receive, buffers.receive_bytes);
}

// `check` looks at what the ranks brought, `combine` moves the bytes.
void enqueue(const Call& call,
             const Signature& signature,
             const Buffers& buffers,
             Volume volume,
             Part part,
             Combine combine,
             Combine check = {}) {
  bool capturing = false;
  {
    const std::lock_guard lock(runtime().mutex);
    capturing = call.stream->capture != nullptr;
  }
  if (!capturing) check_same_order(*call.comm, signature);
  Combine together = [combine = std::move(combine), check = std::move(check)](auto& parts) {
    if (check) check(parts);
    if (!paced()) combine(parts);
  };
  auto run = [comm = call.comm,
              signature,
              buffers,
              part = std::move(part),
              together = std::move(together)](Stream& stream) {
    CardMemory memory(stream.card->id);
    Part mine = part;
    find_buffers(memory, buffers, mine);
    meet(stream, *comm, signature, std::move(mine), together);
    memory.check_alive();
  };
  const auto bytes = static_cast<double>(std::max(buffers.send_bytes, buffers.receive_bytes));
  submit(
      *call.stream,
      {.kind = Task::Kind::collective,
       .name = call.name,
       .run = std::move(run),
       .duration = costs().collective(volume, bytes, call.num_ranks(), call.comm->on_vector_cores),
       .route = Route::collective,
       .bytes = bytes * link_share(volume, call.num_ranks())});
}

std::vector<const std::byte*> inputs_of(const std::vector<Part>& parts, size_t offset) {
  std::vector<const std::byte*> inputs;
  for (const Part& part : parts) inputs.push_back(part.send + offset);
  return inputs;
}

// Where outputs may be inputs of other ranks, results wait here until all is read.
std::vector<std::byte> reduced(const std::vector<Part>& parts,
                               size_t offset,
                               uint64_t count,
                               HcclDataType dtype,
                               HcclReduceOp op) {
  std::vector<std::byte> out(count * hccl_element_bytes(dtype));
  reduce_in_rank_order(inputs_of(parts, offset), out.data(), count, dtype, op);
  return out;
}

// Codes of the runtime reach clients as HCCL_E_RUNTIME.
template <typename Body>
HcclResult guarded_collective(const char* call, const Body& body) {
  return guarded_hccl(call, [&] {
    try {
      body();
    } catch (const Refused& refused) {
      if (refused.code < 100000) throw;
      refuse_call(HCCL_E_RUNTIME, fmt::format("{}: {}", refused.code, refused.why));
    }
  });
}

void transfer(const Call& call, std::vector<Transfer> transfers, std::vector<void*> buffers) {
  for (const Transfer& one : transfers) {
    if (one.peer >= call.num_ranks() || one.peer == call.comm->rank) {
      refuse_call(
          HCCL_E_PARA,
          fmt::format("peer {} of rank {} of {}", one.peer, call.comm->rank, call.num_ranks()));
    }
  }
  double bytes = 0;  // the links work in both directions at once
  for (const bool is_send : {false, true}) {
    double one_way = 0;
    for (const Transfer& one : transfers)
      one_way += one.is_send == is_send ? static_cast<double>(one.size) : 0;
    bytes = std::max(bytes, one_way);
  }
  auto run = [comm = call.comm, transfers = std::move(transfers), buffers = std::move(buffers)](
                 Stream& stream) {
    CardMemory memory(stream.card->id);
    std::vector<Transfer> resolved = transfers;
    for (size_t i = 0; i < resolved.size(); ++i) {
      if (paced()) {
        memory.check(buffers[i], resolved[i].size);
      } else if (resolved[i].size > 0) {
        resolved[i].bytes = memory.write(buffers[i], resolved[i].size);
      }
    }
    exchange(stream, *comm, resolved);
    memory.check_alive();
  };
  submit(*call.stream,
         {.kind = Task::Kind::collective,
          .name = call.name,
          .run = std::move(run),
          .duration = costs().collective(
              Volume::whole, bytes, call.num_ranks(), call.comm->on_vector_cores),
          .route = Route::collective,
          .bytes = bytes});
}

}  // namespace

HcclResult HcclBarrier(HcclComm comm, aclrtStream stream) {
  return guarded_collective("HcclBarrier", [&] {
    const Call call = require_call("HcclBarrier", comm, stream);
    enqueue(call, {.name = call.name}, {}, Volume::none, {}, [](std::vector<Part>&) {});
  });
}

HcclResult HcclAllReduce(void* send,
                         void* receive,
                         uint64_t count,
                         HcclDataType dtype,
                         HcclReduceOp op,
                         HcclComm comm,
                         aclrtStream stream) {
  return guarded_collective("HcclAllReduce", [&] {
    const Call call = require_call("HcclAllReduce", comm, stream);
    const size_t size = require_dtype(dtype);
    require_reduction(dtype, op);
    require_buffer(send, count, size, "the send buffer");
    require_buffer(receive, count, size, "the receive buffer");
    enqueue(call,
            {call.name, count, dtype, op},
            {send, count * size, receive, count * size},
            Volume::all_reduce,
            {},
            [=](std::vector<Part>& parts) {
              if (count == 0) return;
              const auto out = reduced(parts, 0, count, dtype, op);
              for (Part& part : parts) std::memcpy(part.receive, out.data(), out.size());
            });
  });
}

HcclResult HcclReduce(void* send,
                      void* receive,
                      uint64_t count,
                      HcclDataType dtype,
                      HcclReduceOp op,
                      uint32_t root,
                      HcclComm comm,
                      aclrtStream stream) {
  return guarded_collective("HcclReduce", [&] {
    const Call call = require_call("HcclReduce", comm, stream);
    const size_t size = require_dtype(dtype);
    require_reduction(dtype, op);
    require_root(call, root);
    const bool is_root = call.comm->rank == root;
    require_buffer(send, count, size, "the send buffer");
    if (is_root) require_buffer(receive, count, size, "the receive buffer");
    enqueue(call,
            {call.name, count, dtype, op, root},
            {send, count * size, receive, is_root ? count * size : 0},
            Volume::whole,
            {},
            [=](std::vector<Part>& parts) {
              if (count == 0) return;
              const auto out = reduced(parts, 0, count, dtype, op);
              std::memcpy(parts[root].receive, out.data(), out.size());
            });
  });
}

HcclResult HcclBroadcast(void* buffer,
                         uint64_t count,
                         HcclDataType dtype,
                         uint32_t root,
                         HcclComm comm,
                         aclrtStream stream) {
  return guarded_collective("HcclBroadcast", [&] {
    const Call call = require_call("HcclBroadcast", comm, stream);
    const size_t bytes = count * require_dtype(dtype);
    require_root(call, root);
    require_buffer(buffer, count, require_dtype(dtype), "the buffer");
    enqueue(call,
            {call.name, count, dtype, 0, root},
            {buffer, bytes, buffer, bytes},
            Volume::whole,
            {},
            [=](std::vector<Part>& parts) {
              for (size_t rank = 0; rank < parts.size() && bytes > 0; ++rank) {
                if (rank != root) std::memcpy(parts[rank].receive, parts[root].send, bytes);
              }
            });
  });
}

HcclResult HcclAllGather(void* send,
                         void* receive,
                         uint64_t send_count,
                         HcclDataType dtype,
                         HcclComm comm,
                         aclrtStream stream) {
  return guarded_collective("HcclAllGather", [&] {
    const Call call = require_call("HcclAllGather", comm, stream);
    const size_t size = require_dtype(dtype);
    const size_t bytes = send_count * size;
    require_buffer(send, send_count, size, "the send buffer");
    require_buffer(receive, send_count, size, "the receive buffer");
    enqueue(call,
            {call.name, send_count, dtype},
            {send, bytes, receive, bytes * call.num_ranks()},
            Volume::gather,
            {},
            [=](std::vector<Part>& parts) {
              if (bytes == 0) return;
              // Slices of a receive buffer may be the send buffer of its rank: memmove, each from
              // where it was sent.
              for (size_t from = 0; from < parts.size(); ++from) {
                for (Part& part : parts)
                  std::memmove(part.receive + from * bytes, parts[from].send, bytes);
              }
            });
  });
}

HcclResult HcclReduceScatter(void* send,
                             void* receive,
                             uint64_t receive_count,
                             HcclDataType dtype,
                             HcclReduceOp op,
                             HcclComm comm,
                             aclrtStream stream) {
  return guarded_collective("HcclReduceScatter", [&] {
    const Call call = require_call("HcclReduceScatter", comm, stream);
    const size_t size = require_dtype(dtype);
    const size_t bytes = receive_count * size;
    require_reduction(dtype, op);
    require_buffer(send, receive_count, size, "the send buffer");
    require_buffer(receive, receive_count, size, "the receive buffer");
    enqueue(call,
            {call.name, receive_count, dtype, op},
            {send, bytes * call.num_ranks(), receive, bytes},
            Volume::gather,
            {},
            [=](std::vector<Part>& parts) {
              if (bytes == 0) return;
              std::vector<std::vector<std::byte>> outs;
              for (size_t rank = 0; rank < parts.size(); ++rank) {
                outs.push_back(reduced(parts, rank * bytes, receive_count, dtype, op));
              }
              for (size_t rank = 0; rank < parts.size(); ++rank) {
                std::memcpy(parts[rank].receive, outs[rank].data(), bytes);
              }
            });
  });
}

HcclResult HcclScatter(void* send,
                       void* receive,
                       uint64_t receive_count,
                       HcclDataType dtype,
                       uint32_t root,
                       HcclComm comm,
                       aclrtStream stream) {
  return guarded_collective("HcclScatter", [&] {
    const Call call = require_call("HcclScatter", comm, stream);
    const size_t size = require_dtype(dtype);
    const size_t bytes = receive_count * size;
    require_root(call, root);
    const bool is_root = call.comm->rank == root;
    if (is_root) require_buffer(send, receive_count, size, "the send buffer");
    require_buffer(receive, receive_count, size, "the receive buffer");
    enqueue(call,
            {call.name, receive_count, dtype, 0, root},
            {send, is_root ? bytes * call.num_ranks() : 0, receive, bytes},
            Volume::gather,
            {},
            [=](std::vector<Part>& parts) {
              for (size_t rank = 0; rank < parts.size() && bytes > 0; ++rank) {
                std::memmove(parts[rank].receive, parts[root].send + rank * bytes, bytes);
              }
            });
  });
}

HcclResult HcclSend(void* buffer,
                    uint64_t count,
                    HcclDataType dtype,
                    uint32_t to_rank,
                    HcclComm comm,
                    aclrtStream stream) {
  return guarded_collective("HcclSend", [&] {
    const Call call = require_call("HcclSend", comm, stream);
    const size_t size = require_dtype(dtype);
    require_buffer(buffer, count, size, "the buffer");
    transfer(call, {{true, to_rank, nullptr, count * size, dtype}}, {buffer});
  });
}

HcclResult HcclRecv(void* buffer,
                    uint64_t count,
                    HcclDataType dtype,
                    uint32_t from_rank,
                    HcclComm comm,
                    aclrtStream stream) {
  return guarded_collective("HcclRecv", [&] {
    const Call call = require_call("HcclRecv", comm, stream);
    const size_t size = require_dtype(dtype);
    require_buffer(buffer, count, size, "the buffer");
    transfer(call, {{false, from_rank, nullptr, count * size, dtype}}, {buffer});
  });
}

HcclResult HcclBatchSendRecv(HcclSendRecvItem* items,
                             uint32_t count,
                             HcclComm comm,
                             aclrtStream stream) {
  return guarded_collective("HcclBatchSendRecv", [&] {
    const Call call = require_call("HcclBatchSendRecv", comm, stream);
    require(items, "the list");
    std::vector<Transfer> transfers;
    std::vector<void*> buffers;
    for (uint32_t i = 0; i < count; ++i) {
      const HcclSendRecvItem& item = items[i];
      const size_t size = require_dtype(item.dataType);
      require_buffer(item.buf, item.count, size, "a buffer");
      transfers.push_back({item.sendRecvType == HCCL_SEND,
                           item.remoteRank,
                           nullptr,
                           item.count * size,
                           item.dataType});
      buffers.push_back(item.buf);
    }
    transfer(call, std::move(transfers), std::move(buffers));
  });
}

namespace {

void check_all_to_all(std::vector<Part>& parts) {
  for (size_t from = 0; from < parts.size(); ++from) {
    for (size_t to = 0; to < parts.size(); ++to) {
      const uint64_t sent = parts[from].send_bytes[to];
      const uint64_t expected = parts[to].receive_bytes[from];
      if (sent == expected) continue;
      throw DeviceFault{
          ACL_ERROR_RT_AICORE_EXCEPTION,
          fmt::format(
              "rank {} sends {} bytes to rank {}, which expects {}", from, sent, to, expected)};
    }
  }
}

void move_to_all(std::vector<Part>& parts) {
  for (size_t from = 0; from < parts.size(); ++from) {
    for (size_t to = 0; to < parts.size(); ++to) {
      const uint64_t bytes = parts[from].send_bytes[to];
      if (bytes == 0) continue;
      std::memcpy(parts[to].receive + parts[to].receive_offsets[from],
                  parts[from].send + parts[from].send_offsets[to],
                  bytes);
    }
  }
}

// Part of all-to-all: what each rank sends to each other, packed by the ranks' own counts.
void all_to_all(const Call& call,
                const Signature& signature,
                const Buffers& buffers,
                std::vector<uint64_t> send_bytes,
                std::vector<uint64_t> send_offsets,
                std::vector<uint64_t> receive_bytes,
                std::vector<uint64_t> receive_offsets) {
  Part part;
  part.send_bytes = std::move(send_bytes);
  part.send_offsets = std::move(send_offsets);
  part.receive_bytes = std::move(receive_bytes);
  part.receive_offsets = std::move(receive_offsets);
  enqueue(call, signature, buffers, Volume::gather, std::move(part), move_to_all, check_all_to_all);
}

std::vector<uint64_t> scaled(const void* counts, size_t num_ranks, size_t size) {
  std::vector<uint64_t> bytes(num_ranks);
  std::memcpy(bytes.data(), counts, num_ranks * sizeof(uint64_t));
  for (uint64_t& value : bytes) value *= size;
  return bytes;
}

uint64_t extent(const std::vector<uint64_t>& bytes, const std::vector<uint64_t>& offsets) {
  uint64_t end = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > 0) end = std::max(end, offsets[i] + bytes[i]);
  }
  return end;
}

}  // namespace

HcclResult HcclAlltoAll(const void* send,
                        uint64_t send_count,
                        HcclDataType send_dtype,
                        const void* receive,
                        uint64_t receive_count,
                        HcclDataType receive_dtype,
                        HcclComm comm,
                        aclrtStream stream) {
  return guarded_collective("HcclAlltoAll", [&] {
    const Call call = require_call("HcclAlltoAll", comm, stream);
    const uint64_t bytes = send_count * require_dtype(send_dtype);
    if (bytes != receive_count * require_dtype(receive_dtype))
      refuse_call(HCCL_E_PARA, "what is sent is not what is received");
    require_buffer(send, send_count, require_dtype(send_dtype), "the send buffer");
    require_buffer(receive, receive_count, require_dtype(receive_dtype), "the receive buffer");
    const size_t num_ranks = call.num_ranks();
    const std::vector<uint64_t> sizes(num_ranks, bytes);
    std::vector<uint64_t> offsets(num_ranks);
    for (size_t rank = 0; rank < num_ranks; ++rank) offsets[rank] = rank * bytes;
    all_to_all(call,
               {call.name, send_count, send_dtype},
               {send, bytes * num_ranks, const_cast<void*>(receive), bytes * num_ranks},
               sizes,
               offsets,
               sizes,
               offsets);
  });
}

HcclResult HcclAlltoAllV(const void* send,
                         const void* send_counts,
                         const void* send_displacements,
                         HcclDataType send_dtype,
                         const void* receive,
                         const void* receive_counts,
                         const void* receive_displacements,
                         HcclDataType receive_dtype,
                         HcclComm comm,
                         aclrtStream stream) {
  return guarded_collective("HcclAlltoAllV", [&] {
    const Call call = require_call("HcclAlltoAllV", comm, stream);
    for (const void* list :
         {send_counts, send_displacements, receive_counts, receive_displacements}) {
      require(list, "a list of counts or displacements");
    }
    const size_t size = require_dtype(send_dtype);
    const size_t num_ranks = call.num_ranks();
    auto send_bytes = scaled(send_counts, num_ranks, size);
    auto send_offsets = scaled(send_displacements, num_ranks, size);
    auto receive_bytes = scaled(receive_counts, num_ranks, require_dtype(receive_dtype));
    auto receive_offsets = scaled(receive_displacements, num_ranks, require_dtype(receive_dtype));
    const Buffers buffers{send,
                          extent(send_bytes, send_offsets),
                          const_cast<void*>(receive),
                          extent(receive_bytes, receive_offsets)};
    require_buffer(send, buffers.send_bytes, size, "the send buffer");
    require_buffer(
        receive, buffers.receive_bytes, require_dtype(receive_dtype), "the receive buffer");
    all_to_all(call,
               {call.name, 0, send_dtype},
               buffers,
               std::move(send_bytes),
               std::move(send_offsets),
               std::move(receive_bytes),
               std::move(receive_offsets));
  });
}
// NOLINTEND(readability-identifier-naming)
