#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bilingual_failure.h"
#include "base/check.h"
#include "device/cpu/host_memory.h"
#include "model/safetensors_file.h"

namespace fastchat::model {
namespace {

std::string system_message() { return std::generic_category().message(errno); }

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::string& name)
      : descriptor_(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
    check_in_both(
        descriptor_ >= 0, "{}: cannot be opened: {}", "{}：无法打开：{}", name, system_message());
  }
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;

  std::uint64_t size(const std::string& name) const {
    struct stat status {};
    check(::fstat(descriptor_, &status) == 0, "{}: {}", name, system_message());
    check(S_ISREG(status.st_mode), "{}: expected a regular file", name);
    return static_cast<std::uint64_t>(status.st_size);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

class DescriptorReader : public FileReader {
 public:
  explicit DescriptorReader(const std::string& path) : path_(path), file_(path) {
    ::posix_fadvise(
        file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);  // a hint: failure changes speed only
  }
  std::uint64_t size_bytes() override { return file_.size(path_); }
  std::size_t read(std::uint64_t offset, char* buffer, std::size_t count) override {
    std::size_t done = 0;
    while (done < count) {
      const ssize_t got =
          ::pread(file_.get(), buffer + done, count - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      check_in_both(
          got >= 0, "{}: cannot be read: {}", "{}：无法读取：{}", path_, system_message());
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  std::string path_;
  FileDescriptor file_;
};

// A file mapped read-only.
class Mapping {
 public:
  Mapping(const FileDescriptor& file, std::uint64_t size_bytes, const std::string& name)
      : size_bytes_(size_bytes) {
    if (size_bytes == 0) return;
    void* mapped = ::mmap(nullptr, size_bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
    check(mapped != MAP_FAILED, "{}: cannot be mapped: {}", name, system_message());
    data_ = static_cast<const char*>(mapped);
    advise(0, size_bytes, MADV_SEQUENTIAL);
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const char* data() const { return data_; }
  std::uint64_t size_bytes() const { return size_bytes_; }

  /// Tells the kernel about the pages that [begin, end) touches. A hint: failure changes speed
  /// only. Neighbours that share a page and are dropped with it come back from the file when they
  /// are read.
  void advise(std::uint64_t begin, std::uint64_t end, int advice) const {
    const device::PageRange pages = device::touched_pages(begin, end, device::page_size());
    if (pages.size_bytes() > 0)
      ::madvise(const_cast<char*>(data_) + pages.begin, pages.size_bytes(), advice);
  }

 private:
  const char* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
};

class MappedFile : public SafetensorsFile {
 public:
  explicit MappedFile(const std::string& path)
      : file_(path), mapping_(file_, file_.size(path), path) {
    name_ = path;
    const std::string_view bytes(mapping_.data(), mapping_.size_bytes());
    header_ = parse_safetensors_header(bytes, mapping_.size_bytes(), path);
  }

  const void* acquire(const SafetensorsEntry& entry, std::size_t alignment) override {
    // Reading mapped pages past the end of a file is a fatal signal: better a message, as far as
    // one look can tell.
    const std::uint64_t size_now = file_.size(name_);
    check(size_now >= mapping_.size_bytes(),
          "{}: expected {} bytes, found {}: the file shrank since it was opened",
          name_,
          mapping_.size_bytes(),
          size_now);
    mapping_.advise(entry.begin, entry.end, MADV_WILLNEED);
    const std::lock_guard lock(mutex_);
    Use& use = uses_[&entry];
    ++use.count;
    const char* data = mapping_.data() + entry.begin;
    // Writers pad headers so that tensors are aligned; the format does not ask for it, and early
    // files are not.
    if (entry.begin % alignment == 0) return data;
    if (use.copy.empty()) {
      const std::uint64_t size_bytes = entry.end - entry.begin;
      use.copy.resize((size_bytes + 7) / 8);
      std::memcpy(use.copy.data(), data, size_bytes);
    }
    return use.copy.data();
  }

  void release(const SafetensorsEntry& entry) override {
    const std::lock_guard lock(mutex_);
    const auto use = uses_.find(&entry);
    if (use == uses_.end() || --use->second.count > 0) return;
    uses_.erase(use);
    mapping_.advise(entry.begin, entry.end, MADV_DONTNEED);
  }

 private:
  struct Use {
    int count = 0;
    std::vector<std::uint64_t> copy;  // of a tensor that lies unaligned in its file
  };

  FileDescriptor file_;
  Mapping mapping_;
  std::mutex mutex_;  // guards uses
  std::map<const SafetensorsEntry*, Use> uses_;
};

}  // namespace

std::unique_ptr<SafetensorsFile> map_safetensors_file(const std::string& path) {
  return std::make_unique<MappedFile>(path);
}

std::unique_ptr<FileReader> open_file(const std::string& path) {
  return std::make_unique<DescriptorReader>(path);
}

}  // namespace fastchat::model
