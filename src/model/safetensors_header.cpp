#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/bilingual_failure.h"
#include "base/bytes.h"
#include "base/check.h"
#include "model/config_reader.h"
#include "model/safetensors.h"

namespace fastchat::model {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kMaxDimensions = 8;

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 21> kDtypeBits{{
    {"F32", 32},        {"F16", 16},    {"BF16", 16},   {"BOOL", 8},    {"U8", 8},
    {"I8", 8},          {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"U16", 16},    {"I16", 16},    {"U32", 32},    {"I32", 32},
    {"U64", 64},        {"I64", 64},    {"F64", 64},    {"C64", 64},    {"F4", 4},
    {"F6_E2M3", 6},
}};

std::optional<std::uint64_t> bits_of(std::string_view dtype) {
  for (const auto& [name, bits] : kDtypeBits)
    if (name == dtype) return bits;
  return std::nullopt;
}

std::string describe_shape(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (const std::int64_t extent : shape)
    out += fmt::format("{}{}", out.size() > 1 ? ", " : "", extent);
  return out + "]";
}

// Takes the header event by event: no document is built, so nesting costs nothing, a name that
// comes twice is seen, and memory grows with the tensors only.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& origin) : origin_(origin) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (place_ == Place::before) {
      place_ = Place::top;
    } else if (place_ == Place::top) {
      place_ = name_ == "__metadata__" ? Place::metadata : Place::tensor;
      entry_ = {};
      seen_ = {};
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) finish_tensor();
    place_ = place_ == Place::top ? Place::after : Place::top;
    return true;
  }

  bool key(std::string& key) override {
    if (place_ == Place::top) {
      name_ = key;
      if (name_ == "__metadata__" ? std::exchange(has_metadata_, true) : header_.contains(name_))
        fail("{}: {} occurs twice", origin_, in_quotes(name_));
    } else {
      field_ = key;
      if (place_ != Place::tensor) return true;
      for (const auto& [field, seen] : fields())
        if (field_ == field && std::exchange(*seen, true))
          fail("{}: tensor {}: \"{}\" occurs twice", origin_, in_quotes(name_), field_);
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && field_ == "shape")
      place_ = Place::shape;
    else if (place_ == Place::tensor && field_ == "data_offsets")
      place_ = Place::offsets;
    else
      unexpected("an array");
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::tensor && field_ == "dtype")
      entry_.dtype = value;
    else if (place_ != Place::metadata)
      unexpected("a string");
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape && entry_.shape.size() < kMaxDimensions && value <= kMaxExtent) {
      entry_.shape.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets && num_offsets() < 2) {
      offsets_[seen_.num_offsets++] = value;
    } else {
      unexpected(fmt::format("the number {}", value));
    }
    return true;
  }

  bool number_integer(std::int64_t value) override {
    unexpected(fmt::format("the number {}", value));
  }
  bool number_float(double, const std::string& text) override {
    unexpected(fmt::format("the number {}", text.substr(0, 32)));
  }
  bool boolean(bool value) override { unexpected(value ? "true" : "false"); }
  bool null() override { unexpected("null"); }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }

  bool parse_error(std::size_t position,
                   const std::string&,
                   const nlohmann::json::exception& exception) override {
    fail("{}: the header is not JSON at byte {}: {}", origin_, position, exception.what());
  }

 private:
  // A file cannot hold more elements than this.
  static constexpr std::uint64_t kMaxExtent = std::uint64_t{1} << 53;

  enum class Place { before, top, metadata, tensor, shape, offsets, after };
  struct Seen {
    bool dtype = false;
    bool shape = false;
    bool data_offsets = false;
    std::size_t num_offsets = 0;
  };

  std::array<std::pair<std::string_view, bool*>, 3> fields() {
    return {
        {{"dtype", &seen_.dtype}, {"shape", &seen_.shape}, {"data_offsets", &seen_.data_offsets}}};
  }
  std::size_t num_offsets() const { return seen_.num_offsets; }

  [[noreturn]] void unexpected(std::string_view found) {
    switch (place_) {
      case Place::before:
      case Place::after:
        fail("{}: expected the header to be one JSON object, found {}", origin_, found);
      case Place::top:
        fail("{}: tensor {}: expected an object, found {}", origin_, in_quotes(name_), found);
      case Place::metadata:
        fail("{}: __metadata__ {}: expected a string, found {}", origin_, in_quotes(field_), found);
      default:
        fail(
            "{}: tensor {}: {}: expected dtype as a string, shape as up to {} sizes and "
            "data_offsets as 2, found {}",
            origin_,
            in_quotes(name_),
            in_quotes(field_),
            kMaxDimensions,
            found);
    }
  }

  void finish_tensor() {
    for (const auto& [field, seen] : fields())
      check(
          *seen, "{}: tensor {}: expected \"{}\", found nothing", origin_, in_quotes(name_), field);
    check(num_offsets() == 2,
          "{}: tensor {}: expected 2 data_offsets, found {}",
          origin_,
          in_quotes(name_),
          num_offsets());
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
    header_.emplace(name_, std::move(entry_));
  }

  const std::string& origin_;
  Place place_ = Place::before;
  std::string name_;
  std::string field_;
  Seen seen_;
  bool has_metadata_ = false;
  std::array<std::uint64_t, 2> offsets_{};
  SafetensorsEntry entry_;
  SafetensorsHeader header_;
};

// The tensor's size by dtype and shape agrees with its offsets.
void check_size(const std::string& name, const SafetensorsEntry& entry, const std::string& origin) {
  const std::optional<std::uint64_t> bits = bits_of(entry.dtype);
  check(bits.has_value(),
        "{}: tensor {}: dtype {} is not one of the format's",
        origin,
        in_quotes(name),
        in_quotes(entry.dtype));
  std::uint64_t num_bits = *bits;
  bool overflow = false;
  for (const std::int64_t extent : entry.shape)
    overflow |= __builtin_mul_overflow(num_bits, static_cast<std::uint64_t>(extent), &num_bits);
  check(!overflow && num_bits % 8 == 0 && entry.begin <= entry.end &&
            num_bits / 8 == entry.end - entry.begin,
        "{}: tensor {}: expected the bytes of {}{}, found offsets {} to {}",
        origin,
        in_quotes(name),
        entry.dtype,
        describe_shape(entry.shape),
        entry.begin,
        entry.end);
}

}  // namespace

std::uint64_t safetensors_header_bytes(std::string_view first_8_bytes,
                                       std::uint64_t file_bytes,
                                       const std::string& origin) {
  check_in_both(first_8_bytes.size() >= kLengthBytes && file_bytes >= kLengthBytes,
                "{}: expected a safetensors file, found {}",
                "{}：应为 safetensors 文件，大小却只有 {}",
                origin,
                format_bytes(file_bytes));
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;)
    length = length << 8 | static_cast<unsigned char>(first_8_bytes[i]);
  check_in_both(length > 0 && length <= kMaxHeaderBytes,
                "{}: expected a safetensors header of 1 to {} bytes, found a length of {}",
                "{}：不是 safetensors 文件：文件头长度应为 1 到 {} 字节，实为 {}",
                origin,
                kMaxHeaderBytes,
                length);
  check_in_both(length <= file_bytes - kLengthBytes,
                "{}: the header is {} bytes long but the file has only {}: it is truncated, or no "
                "safetensors file",
                "{}：文件头长 {} 字节，而文件只有 {} 字节：文件不完整，或不是 safetensors 文件",
                origin,
                length,
                file_bytes);
  return kLengthBytes + length;
}

SafetensorsHeader parse_safetensors_header(std::string_view bytes,
                                           std::uint64_t file_bytes,
                                           const std::string& origin) {
  const std::uint64_t data_begin = safetensors_header_bytes(bytes, file_bytes, origin);
  FASTCHAT_ASSERT(bytes.size() >= data_begin, "{} bytes of a header", bytes.size());
  const std::string_view text = bytes.substr(kLengthBytes, data_begin - kLengthBytes);
  check(text.front() == '{',
        "{}: expected a header that starts with {{, found another byte: no safetensors file",
        origin);
  HeaderReader reader(origin);
  nlohmann::json::sax_parse(text, &reader);
  SafetensorsHeader header = reader.take();

  const std::uint64_t data_bytes = file_bytes - data_begin;
  std::vector<SafetensorsHeader::value_type*> by_offset;
  by_offset.reserve(header.size());
  for (auto& item : header) {
    check_size(item.first, item.second, origin);
    check_in_both(
        item.second.end <= data_bytes,
        "{}: tensor {}: ends at byte {} of the data, but the file has only {}: it is truncated",
        "{}：张量 {} 的数据到第 {} 字节为止，而文件只有 {} 字节数据：文件不完整",
        origin,
        in_quotes(item.first),
        item.second.end,
        data_bytes);
    by_offset.push_back(&item);
  }
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t position = 0;
  for (SafetensorsHeader::value_type* item : by_offset) {
    check(item->second.begin == position,
          "{}: tensor {}: expected to start at byte {} of the data, found {}: tensors {}",
          origin,
          in_quotes(item->first),
          position,
          item->second.begin,
          item->second.begin < position ? "overlap" : "leave a gap");
    position = item->second.end;
    item->second.begin += data_begin;
    item->second.end += data_begin;
  }
  check(position == data_bytes,
        "{}: expected {} bytes of tensors, found {}",
        origin,
        position,
        data_bytes);
  return header;
}

}  // namespace fastchat::model
