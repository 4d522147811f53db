#include "parallel/ascend/hccl_communicator.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "device/ascend/cann_error.h"
#include "device/ascend/cann_library.h"
#include "ops/ascend/launch.h"
#include "ops/ops.h"
#include "parallel/ascend/hccl_ports.h"

namespace fastchat::parallel {
namespace {

using device::DType;
using device::TensorView;
using device::ascend::cann;
using device::ascend::NpuStream;
using ops::ascend::AclTensor;

/// What the ends of a group know of each other.
struct Group {
  std::vector<int> cards;  // user ids, in the order of ranks
  std::vector<NpuStream*> streams;
  bool on_vector_cores = false;

  std::mutex mutex;
  std::condition_variable changed;
  // A generation is a set of HCCL communicators; after an abort the next one is made.
  int generation = 1;
  enum class Root { missing, by_root_info, all_made, failed } root = Root::missing;
  HcclRootInfo root_info{};
  std::vector<HcclComm> made;  // all at once, where root information is not to be had
  std::string failure;
  bool is_aborted = false;
  std::string abort_reason;
};

std::string describe(HcclResult result, const std::string& call) {
  std::string text = fmt::format("{} failed with {}", call, static_cast<int>(result));
  if (void* const found = cann().find("HcclGetErrorString"))
    if (const char* name = reinterpret_cast<decltype(&HcclGetErrorString)>(found)(result))
      text += fmt::format(" ({})", name);
  if (const std::string words = device::ascend::recent_words(); !words.empty())
    text += fmt::format(": {}", words);
  switch (result) {
    case HCCL_E_TIMEOUT:
      text += "; a card of the group did not come in time: its log says why";
      break;
    case HCCL_E_MEMORY:
      text += fmt::format("; a group takes {} of every card, or less with HCCL_BUFFSIZE",
                          format_bytes(ops::traits(device::DeviceKind::npu).collective_bytes));
      break;
    case HCCL_E_TCP_CONNECT:
    case HCCL_E_NETWORK:
      text += "; in a container without a network set HCCL_IF_IP=127.0.0.1";
      break;
    default:
      break;
  }
  return text;
}

HcclDataType hccl_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return HCCL_DATA_TYPE_FP32;
    case DType::f16:
      return HCCL_DATA_TYPE_FP16;
    case DType::bf16:
      return HCCL_DATA_TYPE_BFP16;
    case DType::i32:
      return HCCL_DATA_TYPE_INT32;
    default:
      fail("no collective of {}", device::to_string(dtype));
  }
}

/// Groups of this process whose operations run on the vector cores: CANN allows one at a time.
std::atomic<int>& num_on_vector_cores() {
  static std::atomic<int> count{0};
  return count;
}

class HcclCommunicator final : public Communicator {
 public:
  HcclCommunicator(std::shared_ptr<Group> group, int rank, NpuStream& stream)
      : group_(std::move(group)), rank_(rank), stream_(stream) {}
  ~HcclCommunicator() override {
    destroy();
    if (rank_ == 0 && group_->on_vector_cores) --num_on_vector_cores();
  }
  HcclCommunicator(const HcclCommunicator&) = delete;
  HcclCommunicator& operator=(const HcclCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->cards.size()); }

  void connect() override { comm(); }

  void all_reduce(TensorView data) override {
    check(device::is_float(data.dtype()) && data.is_dense(),
          "all_reduce: data is {}, expected dense f32, f16 or bf16",
          data.describe());
    const auto count = static_cast<std::uint64_t>(data.num_elements());
    run("HcclAllReduce",
        FASTCHAT_CANN(HcclAllReduce),
        data.data(),
        data.data(),
        count,
        hccl_dtype(data.dtype()),
        HCCL_REDUCE_SUM);
  }
  void all_gather(TensorView part, TensorView out, const AxisSplit& columns) override {
    gather_into(part, out, columns);
  }
  void gather(TensorView part, TensorView out, const AxisSplit& columns) override {
    FASTCHAT_ASSERT(out.empty() == (rank_ != 0), "gather: rank 0 has the output, and no other");
    gather_into(part, out, columns);
  }
  void broadcast(TensorView data) override {
    check(data.dtype() == DType::i32 && data.is_dense(),
          "broadcast: data is {}, expected dense i32",
          data.describe());
    run("HcclBroadcast",
        FASTCHAT_CANN(HcclBroadcast),
        data.data(),
        static_cast<std::uint64_t>(data.num_elements()),
        HCCL_DATA_TYPE_INT32,
        std::uint32_t{0});
  }

  // Cards that wait in a collective for one that will not come are freed by ending their streams'
  // work, where this CANN can; else HCCL_EXEC_TIMEOUT ends it.
  void abort(const std::string& reason) override {
    {
      const std::lock_guard lock(group_->mutex);
      if (group_->is_aborted) return;
      group_->is_aborted = true;
      group_->abort_reason = reason;
      group_->changed.notify_all();
    }
    for (NpuStream* const stream : group_->streams) {
      try {
        stream->abort();
      } catch (const std::exception& failure) {
        log::error("{}", failure.what());
      }
    }
  }
  void reset() override {
    const std::lock_guard lock(group_->mutex);
    if (!group_->is_aborted) return;
    group_->is_aborted = false;
    ++group_->generation;
    group_->root = Group::Root::missing;
    group_->failure.clear();
  }

 private:
  device::ascend::NpuDevice& device() const {
    return static_cast<device::ascend::NpuDevice&>(stream_.device());
  }

  template <typename Function, typename... Arguments>
  void run(const char* name, Function function, Arguments... arguments) {
    HcclComm const own = comm();
    device().bind();
    const auto start = [=, who = who()](aclrtStream stream) {
      const HcclResult result = function(arguments..., own, stream);
      if (result != HCCL_SUCCESS) fail("{}", describe(result, fmt::format("{} of {}", name, who)));
    };
    if (device::ascend::CallList* const calls = stream_.recorded_calls()) {
      calls->add(start);
      return;
    }
    start(stream_.handle());
    if (device::ascend::launches_block()) stream_.synchronize();
  }

  std::string who() const {
    return fmt::format("rank {} (npu {})", rank_, group_->cards[static_cast<std::size_t>(rank_)]);
  }

  /// This generation's communicator, made where there is none yet.
  HcclComm comm() {
    int generation = 0;
    {
      const std::lock_guard lock(group_->mutex);
      if (group_->is_aborted) fail("{}", group_->abort_reason);
      generation = group_->generation;
    }
    if (generation_ == generation) return comm_;
    destroy();
    make();
    generation_ = generation;
    return comm_;
  }

  void make() {
    device().bind();
    if (rank_ == 0) make_root();
    std::unique_lock lock(group_->mutex);
    group_->changed.wait(
        lock, [&] { return group_->root != Group::Root::missing || group_->is_aborted; });
    if (group_->is_aborted) fail("{}", group_->abort_reason);
    if (group_->root == Group::Root::failed) fail("{}", group_->failure);
    if (group_->root == Group::Root::all_made) {
      comm_ = group_->made[static_cast<std::size_t>(rank_)];
      return;
    }
    const HcclRootInfo root_info = group_->root_info;
    lock.unlock();
    const auto num_ranks = static_cast<std::uint32_t>(size());
    const auto rank = static_cast<std::uint32_t>(rank_);
    HcclResult result = HCCL_SUCCESS;
    if (group_->on_vector_cores) {
      const HcclCommConfig config = vector_core_config();
      result =
          FASTCHAT_CANN(HcclCommInitRootInfoConfig)(num_ranks, &root_info, rank, &config, &comm_);
    } else {
      result = FASTCHAT_CANN(HcclCommInitRootInfo)(num_ranks, &root_info, rank, &comm_);
    }
    if (result != HCCL_SUCCESS) {
      comm_ = nullptr;
      fail("{}", describe(result, fmt::format("HcclCommInitRootInfo of {}", who())));
    }
  }

  /// What the others of the group wait for.
  void make_root() {
    Group::Root root = Group::Root::by_root_info;
    HcclRootInfo root_info{};
    std::vector<HcclComm> made;
    std::string failure;
    const HcclResult result = FASTCHAT_CANN(HcclGetRootInfo)(&root_info);
    if (result != HCCL_SUCCESS) {
      // A host without a network that it could listen on: one call makes the ends of all cards.
      failure = describe(result, "HcclGetRootInfo");
      std::vector<std::int32_t> cards(group_->cards.begin(), group_->cards.end());
      made.resize(cards.size());
      const HcclResult second = FASTCHAT_CANN(HcclCommInitAll)(
          static_cast<std::uint32_t>(cards.size()), cards.data(), made.data());
      root = second == HCCL_SUCCESS ? Group::Root::all_made : Group::Root::failed;
      if (second != HCCL_SUCCESS)
        failure += "\n" + describe(second, "HcclCommInitAll");
      else
        log::debug("{}; HcclCommInitAll did", failure);
    }
    const std::lock_guard lock(group_->mutex);
    group_->root = root;
    group_->root_info = root_info;
    group_->made = std::move(made);
    group_->failure = failure;
    group_->changed.notify_all();
  }

  /// Operations as kernels of the vector cores start sooner than those that the host starts.
  static HcclCommConfig vector_core_config() {
    HcclCommConfig config{};
    const CannHcclConfigHeader header{.size = CANN_HCCL_CONFIG_V5_BYTES,
                                      .magic = HCCL_COMM_CONFIG_MAGIC_WORD,
                                      .version = 5,
                                      .reserved = 0};
    std::memcpy(config.reserved, &header, sizeof header);
    config.hcclBufferSize = CANN_HCCL_CONFIG_NOT_SET;
    config.hcclDeterministic = CANN_HCCL_CONFIG_NOT_SET;
    constexpr std::uint32_t kVectorCores = 3;
    config.hcclOpExpansionMode = kVectorCores;
    config.hcclRdmaTrafficClass = CANN_HCCL_CONFIG_NOT_SET;
    config.hcclRdmaServiceLevel = CANN_HCCL_CONFIG_NOT_SET;
    return config;
  }

  void destroy() noexcept {
    if (comm_ == nullptr) return;
    try {
      device().bind();
      const HcclResult result = FASTCHAT_CANN(HcclCommDestroy)(comm_);
      if (result != HCCL_SUCCESS) log::error("{}", describe(result, "HcclCommDestroy"));
    } catch (const std::exception& failure) {
      log::error("{}", failure.what());
    }
    comm_ = nullptr;
  }

  /// HCCL puts the ranks' equal, dense parts one below the other.
  void gather_into(const TensorView& part, const TensorView& out, const AxisSplit& columns) {
    const ops::ascend::ScratchScope scope(stream_);
    const std::int64_t rows = part.rows();
    std::int64_t widest = 0;
    for (int r = 0; r < size(); ++r) widest = std::max(widest, columns.part(r).count);
    FASTCHAT_ASSERT(part.rank() == 2 && part.dim(1) == columns.part(rank_).count,
                    "gather: part {} of rank {}, expected {} columns",
                    part.describe(),
                    rank_,
                    columns.part(rank_).count);
    const std::size_t element_bytes = device::size_of(part.dtype());
    // All send as much, of memory that is not where the result goes.
    TensorView sent = part;
    if (!part.is_dense() || part.dim(1) != widest || lies_in(part, out)) {
      sent = ops::ascend::temporary(stream_, part.dtype(), {rows, widest});
      copy(sent.slice_columns(0, part.dim(1)), part);
    }
    const bool in_place = !out.empty() && rows == 1 && widest * size() == out.dim(1);
    const TensorView received =
        in_place ? out : ops::ascend::temporary(stream_, part.dtype(), {size() * rows, widest});
    run("HcclAllGather",
        FASTCHAT_CANN(HcclAllGather),
        sent.data(),
        received.data(),
        static_cast<std::uint64_t>(rows * widest),
        hccl_dtype(part.dtype()));
    if (out.empty() || in_place) return;
    if (widest * size() == out.dim(1)) {
      // Rank and row change places.
      const std::int64_t stride = out.row_stride();
      const AclTensor to(out.data(), out.dtype(), {size(), rows, widest}, {widest, stride, 1});
      const AclTensor from(received.data(), out.dtype(), {size(), rows, widest});
      FASTCHAT_ACLNN(stream_, aclnnInplaceCopy, to.get(), from.get());
      return;
    }
    for (int r = 0; r < size(); ++r) {
      const AxisRange range = columns.part(r);
      const TensorView from(static_cast<char*>(received.data()) +
                                static_cast<std::size_t>(r * rows * widest) * element_bytes,
                            part.dtype(),
                            {rows, widest});
      copy(out.slice_columns(range.begin, range.count), from.slice_columns(0, range.count));
    }
  }

  static bool lies_in(const TensorView& part, const TensorView& whole) {
    const auto* const begin = static_cast<const char*>(whole.data());
    const auto* const data = static_cast<const char*>(part.data());
    return !whole.empty() && data >= begin && data < begin + whole.size_bytes();
  }

  void copy(const TensorView& to, const TensorView& from) {
    FASTCHAT_ACLNN(stream_, aclnnInplaceCopy, AclTensor(to).get(), AclTensor(from).get());
  }

  const std::shared_ptr<Group> group_;
  const int rank_;
  NpuStream& stream_;
  HcclComm comm_ = nullptr;
  int generation_ = 0;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> create_hccl_communicators(
    const std::vector<NpuStream*>& streams) {
  check(cann().find("HcclAllReduce") != nullptr && cann().find("HcclGetRootInfo") != nullptr,
        "CANN {} in {} has no collectives (libhccl.so): install its HCCL package, or let the cards "
        "take turns (--parallel layer)",
        cann().version_text(),
        cann().path());
  choose_hccl_ports();
  const auto group = std::make_shared<Group>();
  bool has_vector_form = cann().find("HcclCommInitRootInfoConfig") != nullptr &&
                         cann().has(device::ascend::Feature::collectives_on_vector_cores) &&
                         std::getenv("HCCL_OP_EXPANSION_MODE") == nullptr;
  for (NpuStream* const stream : streams) {
    group->cards.push_back(stream->device().info().index);
    group->streams.push_back(stream);
    // All cards of the 910B family and later; the first 910 and the 310 family have none.
    has_vector_form = has_vector_form && stream->device().info().has_bf16;
  }
  if (has_vector_form) {
    group->on_vector_cores = num_on_vector_cores()++ == 0;
    if (!group->on_vector_cores) --num_on_vector_cores();
  }
  std::vector<std::unique_ptr<Communicator>> ends;
  for (std::size_t rank = 0; rank < streams.size(); ++rank)
    ends.push_back(
        std::make_unique<HcclCommunicator>(group, static_cast<int>(rank), *streams[rank]));
  return ends;
}

}  // namespace fastchat::parallel
