// Every operation: publish a view of one's own data, meet the others, read theirs, meet again
// before anyone may change what was read. Bound by the memory traffic of the data for prefill, by
// the meetings (a few hundred nanoseconds each while all cores spin) for decode.
#include "parallel/local/local_communicator.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "device/cpu/wait_word.h"

namespace fastchat::parallel {
namespace {

using device::CpuTeam;
using device::TensorView;

constexpr std::int64_t kSumGrain = 16 * 1024;  // floats; smaller pieces are not worth the team

/// Where the ranks of a group meet: all, or none when one aborts.
class MeetingPoint {
 public:
  explicit MeetingPoint(int num_ranks) : num_ranks_(num_ranks) {}

  /// Blocks until every rank has arrived for the `index`-th time, from 1. Throws Failure after an
  /// abort.
  void arrive(std::uint32_t index, std::chrono::microseconds spin) {
    if (aborted_.load()) fail("{}", reason());
    const std::uint32_t target = index * static_cast<std::uint32_t>(num_ranks_);
    num_arrivals_.add(1);
    num_arrivals_.wake();
    num_arrivals_.wait(spin, [&](std::uint32_t seen) {
      return static_cast<std::int32_t>(seen - target) >= 0 || aborted_.load();
    });
    if (aborted_.load()) fail("{}", reason());
  }

  void abort(const std::string& reason) {
    {
      const std::lock_guard lock(mutex_);
      if (aborted_.load()) return;
      reason_ = reason;
      aborted_.store(true);
    }
    num_arrivals_.add(1);  // sleepers look only when the value has changed
    num_arrivals_.wake();
  }

  void reset() {
    const std::lock_guard lock(mutex_);
    num_arrivals_.store(0);
    aborted_.store(false);
  }

 private:
  std::string reason() {
    const std::lock_guard lock(mutex_);
    return reason_;
  }

  const int num_ranks_;
  device::WaitWord num_arrivals_;
  std::atomic<bool> aborted_{false};
  std::mutex mutex_;
  std::string reason_;
};

struct Group {
  explicit Group(std::size_t num_ranks)
      : meeting(static_cast<int>(num_ranks)), published(num_ranks), num_meetings(num_ranks, 0) {}
  MeetingPoint meeting;
  // Written by its rank before a meeting, read by the others after it.
  std::vector<TensorView> published;
  std::vector<std::uint32_t> num_meetings;  // of each rank; touched by that rank's leader only
};

/// What a task on a stream knows; lives as long as the communicator.
struct End {
  Group& group;
  std::size_t rank;

  void meet(const CpuTeam& team) const {
    group.meeting.arrive(++group.num_meetings[rank], team.spin());
  }
  void publish(const TensorView& view) const { group.published[rank] = view; }
};

/// The part of `count` elements that a rank adds up for all.
std::pair<std::int64_t, std::int64_t> stretch(std::int64_t count,
                                              std::size_t rank,
                                              std::size_t num_ranks) {
  constexpr std::int64_t kUnit = 16;  // a cache line
  const std::int64_t units = (count + kUnit - 1) / kUnit;
  const auto edge = [&](std::size_t r) {
    const auto part = units * static_cast<std::int64_t>(r) / static_cast<std::int64_t>(num_ranks);
    return std::min(part * kUnit, count);
  };
  return {edge(rank), edge(rank + 1)};
}

/// Sums [begin, end) of all ranks' data into `out`, in the order of ranks.
void sum_ranks(const Group& group, std::int64_t begin, std::int64_t end, float* out) {
  constexpr std::int64_t kStretch = 1024;
  float sums[kStretch];
  for (std::int64_t first = begin; first < end; first += kStretch) {
    const std::int64_t count = std::min(kStretch, end - first);
    std::memcpy(sums,
                group.published[0].as<const float>() + first,
                static_cast<std::size_t>(count) * sizeof(float));
    for (std::size_t rank = 1; rank < group.published.size(); ++rank) {
      const auto* const addend = group.published[rank].as<const float>() + first;
      for (std::int64_t i = 0; i < count; ++i) sums[i] += addend[i];
    }
    std::memcpy(out + first, sums, static_cast<std::size_t>(count) * sizeof(float));
  }
}

void run_all_reduce(const End& end, const TensorView& data, CpuTeam& team) {
  Group& group = end.group;
  const std::size_t num_ranks = group.published.size();
  const std::int64_t count = data.num_elements();
  end.publish(data);
  end.meet(team);
  // Each rank adds up one stretch, in place: nobody else reads that stretch of its data before the
  // next meeting.
  const auto [mine_begin, mine_end] = stretch(count, end.rank, num_ranks);
  auto* const own = data.as<float>();
  team.parallel_for(mine_end - mine_begin,
                    kSumGrain,
                    [&, first = mine_begin](std::int64_t begin, std::int64_t finish, int) {
                      sum_ranks(group, first + begin, first + finish, own);
                    });
  end.meet(team);
  team.parallel_for(count, kSumGrain, [&](std::int64_t begin, std::int64_t finish, int) {
    for (std::size_t rank = 0; rank < num_ranks; ++rank) {
      if (rank == end.rank) continue;
      const auto [first, last] = stretch(count, rank, num_ranks);
      const std::int64_t from = std::max(first, begin);
      const std::int64_t to = std::min(last, finish);
      if (from < to)
        std::memcpy(own + from,
                    group.published[rank].as<const float>() + from,
                    static_cast<std::size_t>(to - from) * sizeof(float));
    }
  });
  end.meet(team);
}

/// Copies every published part to its columns of `out`.
void collect(const Group& group, const TensorView& out, CpuTeam& team) {
  const std::size_t element = device::size_of(out.dtype());
  const std::int64_t grain =
      std::max<std::int64_t>(1, kSumGrain / std::max<std::int64_t>(1, out.dim(1)));
  team.parallel_for(out.rows(), grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      auto* to = out.as<char>() + static_cast<std::size_t>(row * out.row_stride()) * element;
      for (const TensorView& part : group.published) {
        const auto* from =
            part.as<const char>() + static_cast<std::size_t>(row * part.row_stride()) * element;
        const std::size_t bytes = static_cast<std::size_t>(part.dim(1)) * element;
        if (from != to) std::memcpy(to, from, bytes);
        to += bytes;
      }
    }
  });
}

void run_gather(const End& end, const TensorView& part, const TensorView& out, CpuTeam& team) {
  end.publish(part);
  end.meet(team);
  if (!out.empty()) collect(end.group, out, team);
  end.meet(team);
}

void run_broadcast(const End& end, const TensorView& data, CpuTeam& team) {
  end.publish(data);
  end.meet(team);
  if (end.rank != 0) std::memcpy(data.data(), end.group.published[0].data(), data.size_bytes());
  end.meet(team);
}

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Group> group, std::size_t rank, device::CpuStream& stream)
      : group_(std::move(group)), end_{*group_, rank}, stream_(stream) {
    stream_.on_failure([this](const std::string& reason) { abort(reason); });
  }
  ~LocalCommunicator() override { stream_.on_failure({}); }
  LocalCommunicator(const LocalCommunicator&) = delete;
  LocalCommunicator& operator=(const LocalCommunicator&) = delete;

  int rank() const override { return static_cast<int>(end_.rank); }
  int size() const override { return static_cast<int>(group_->published.size()); }

  void all_reduce(TensorView data) override {
    check(data.dtype() == device::DType::f32 && data.is_dense(),
          "all_reduce: data is {}, expected dense f32",
          data.describe());
    stream_.enqueue([end = &end_, data](CpuTeam& team) { run_all_reduce(*end, data, team); });
  }
  void all_gather(TensorView part, TensorView out, const AxisSplit&) override {
    enqueue_gather(part, out);
  }
  void gather(TensorView part, TensorView out, const AxisSplit&) override {
    FASTCHAT_ASSERT(out.empty() == (rank() != 0), "gather: rank 0 has the output, and no other");
    enqueue_gather(part, out);
  }
  void broadcast(TensorView data) override {
    check(data.dtype() == device::DType::i32 && data.is_dense(),
          "broadcast: data is {}, expected dense i32",
          data.describe());
    stream_.enqueue([end = &end_, data](CpuTeam& team) { run_broadcast(*end, data, team); });
  }

  void abort(const std::string& reason) override { group_->meeting.abort(reason); }
  void reset() override {
    group_->meeting.reset();
    std::fill(group_->num_meetings.begin(), group_->num_meetings.end(), 0U);
  }

 private:
  void enqueue_gather(TensorView part, TensorView out) {
    check(part.rank() == 2 && (out.empty() || (out.rank() == 2 && out.dtype() == part.dtype() &&
                                               out.rows() == part.rows())),
          "gather: part {} for {}",
          part.describe(),
          out.describe());
    stream_.enqueue([end = &end_, part, out](CpuTeam& team) { run_gather(*end, part, out, team); });
  }

  std::shared_ptr<Group> group_;
  End end_;
  device::CpuStream& stream_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> create_local_communicators(
    const std::vector<device::CpuStream*>& streams) {
  const auto group = std::make_shared<Group>(streams.size());
  std::vector<std::unique_ptr<Communicator>> ends;
  for (std::size_t rank = 0; rank < streams.size(); ++rank)
    ends.push_back(std::make_unique<LocalCommunicator>(group, rank, *streams[rank]));
  return ends;
}

}  // namespace fastchat::parallel
