// On a network file system every page fault may be a round trip, and what several threads touch in
// turn comes in random order, some of it twice once memory is short. Here each byte is asked for
// once, in order, in pieces that keep the connection busy.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "model/safetensors_file.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kPieceBytes = 16 * kMiB;

class SequentialFile : public SafetensorsFile {
 public:
  SequentialFile(const std::string& path,
                 std::unique_ptr<FileReader> reader,
                 const NumUses& num_uses)
      : reader_(std::move(reader)), size_bytes_(reader_->size_bytes()) {
    name_ = path;
    std::string bytes(std::min<std::uint64_t>(size_bytes_, 8), '\0');
    read(bytes.data(), bytes.size());
    const std::uint64_t header_bytes = safetensors_header_bytes(bytes, size_bytes_, path);
    bytes.resize(header_bytes);
    read(bytes.data() + 8, header_bytes - 8);
    header_ = parse_safetensors_header(bytes, size_bytes_, path);
    for (const auto& [name, entry] : header_) {
      Tensor& tensor = tensors_[&entry];
      tensor.entry = &entry;
      tensor.uses_left = num_uses ? num_uses(name) : 1;
      if (entry.end > entry.begin) order_.push_back(&tensor);
    }
    std::sort(order_.begin(), order_.end(), [](const Tensor* a, const Tensor* b) {
      return a->entry->begin < b->entry->begin;
    });
  }

  const void* acquire(const SafetensorsEntry& entry, std::size_t /*alignment*/) override {
    Tensor& tensor = tensors_.at(&entry);
    if (const void* data = use(tensor)) return data;
    const std::lock_guard lock(read_mutex_);
    while (true) {
      // Another thread may have read it meanwhile.
      if (const void* data = use(tensor)) return data;
      if (position_ < entry.end) {
        read_piece();
      } else {
        read_again(tensor);
      }
    }
  }

  void release(const SafetensorsEntry& entry) override {
    Tensor& tensor = tensors_.at(&entry);
    const std::lock_guard lock(mutex_);
    if (tensor.num_users == 0) return;
    --tensor.num_users;
    if (--tensor.uses_left <= 0 && tensor.num_users == 0) {
      tensor.data.reset();
      tensor.is_complete = false;
    }
  }

 private:
  struct Tensor {
    const SafetensorsEntry* entry = nullptr;
    // The rest is guarded by mutex_, but for the bytes of a tensor that is not complete, which
    // belong to the reading thread.
    std::unique_ptr<char[]> data;  // aligned to 16, as new is
    bool is_complete = false;
    int num_users = 0;
    int uses_left = 1;
  };

  /// The bytes of a tensor that is there, which then has one user more.
  const void* use(Tensor& tensor) {
    const std::lock_guard lock(mutex_);
    const bool is_empty = tensor.entry->begin == tensor.entry->end;
    if (!tensor.is_complete && !is_empty) return nullptr;
    ++tensor.num_users;
    return is_empty ? name_.data() : tensor.data.get();
  }

  /// The next `count` bytes of the file.
  void read(char* buffer, std::size_t count) { read_at(position_, buffer, count, &position_); }

  void read_at(std::uint64_t offset, char* buffer, std::size_t count, std::uint64_t* position) {
    const std::size_t got = reader_->read(offset, buffer, count);
    check(got == count,
          "{}: expected {} bytes, found {}: the file shrank since it was opened",
          name_,
          size_bytes_,
          offset + got);
    if (position != nullptr) *position += count;
  }

  /// Holds read_mutex_.
  void read_piece() {
    const std::uint64_t begin = position_;
    piece_.resize(std::min<std::uint64_t>(kPieceBytes, size_bytes_ - begin));
    read(piece_.data(), piece_.size());
    for (; next_ < order_.size(); ++next_) {
      Tensor& tensor = *order_[next_];
      const SafetensorsEntry& entry = *tensor.entry;
      const std::uint64_t from = std::max(begin, entry.begin);
      const std::uint64_t to = std::min(position_, entry.end);
      if (from >= to) break;
      if (tensor.data == nullptr) tensor.data.reset(new char[entry.end - entry.begin]);
      std::memcpy(
          tensor.data.get() + (from - entry.begin), piece_.data() + (from - begin), to - from);
      if (to < entry.end) break;  // the rest is in the next piece
      const std::lock_guard lock(mutex_);
      tensor.is_complete = true;
    }
    if (position_ == size_bytes_) piece_ = {};
  }

  /// Holds read_mutex_.
  void read_again(Tensor& tensor) {
    const SafetensorsEntry& entry = *tensor.entry;
    log::debug("{}: bytes {} to {} are read again", name_, entry.begin, entry.end);
    std::unique_ptr<char[]> data(new char[entry.end - entry.begin]);
    read_at(entry.begin, data.get(), entry.end - entry.begin, nullptr);
    const std::lock_guard lock(mutex_);
    tensor.data = std::move(data);
    tensor.is_complete = true;
  }

  std::unique_ptr<FileReader> reader_;
  const std::uint64_t size_bytes_;
  std::map<const SafetensorsEntry*, Tensor> tensors_;
  std::vector<Tensor*> order_;  // those with bytes, as they lie in the file

  std::mutex read_mutex_;       // guards the four below; taken before mutex_
  std::uint64_t position_ = 0;  // bytes before it have been read
  std::size_t next_ = 0;        // in order_: the first that is not complete
  std::vector<char> piece_;

  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<SafetensorsFile> read_safetensors_file(const std::string& path,
                                                       std::unique_ptr<FileReader> reader,
                                                       const NumUses& num_uses) {
  return std::make_unique<SequentialFile>(path, std::move(reader), num_uses);
}

}  // namespace fastchat::model
