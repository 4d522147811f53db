#include "device/device.h"

#include <utility>

namespace fastchat::device {

std::string_view to_string(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::cpu:
      return "cpu";
    case DeviceKind::npu:
      return "npu";
    case DeviceKind::cuda:
      return "cuda";
    case DeviceKind::stub:
      return "stub";
  }
  return "?";
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  device_ = std::exchange(other.device_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  size_bytes_ = std::exchange(other.size_bytes_, 0);
  return *this;
}

void Buffer::reset() {
  if (data_ != nullptr) device_->free_bytes(data_, size_bytes_);
  device_ = nullptr;
  data_ = nullptr;
  size_bytes_ = 0;
}

TensorView Buffer::view(DType dtype,
                        std::initializer_list<std::int64_t> shape,
                        std::size_t offset_bytes) const {
  TensorView out(static_cast<char*>(data_) + offset_bytes, dtype, shape);
  FASTCHAT_ASSERT(offset_bytes + out.size_bytes() <= size_bytes_,
                  "view {} at byte {} of a buffer of {} bytes",
                  out.describe(),
                  offset_bytes,
                  size_bytes_);
  return out;
}

Buffer Device::allocate(std::size_t size_bytes, std::string_view purpose) {
  return Buffer(*this, size_bytes == 0 ? nullptr : allocate_bytes(size_bytes, purpose), size_bytes);
}

void Stream::begin_capture() {
  throw UnsupportedOp(fmt::format("device {} captures no graphs", device().info().name));
}

std::unique_ptr<Graph> Stream::end_capture() {
  throw UnsupportedOp(fmt::format("device {} captures no graphs", device().info().name));
}

}  // namespace fastchat::device
