#include "parallel/cards.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/bytes.h"

namespace fastchat::parallel {
namespace {

/// More than the vendor's largest supernode has (384) is a mistyped number.
constexpr int kMostCards = 512;

/// Attained figures: HBM nominal x 0.92, matrix peak of the platform file (cores x 16 x 16 x 16
/// multiply-adds x clock) x 0.75, operators 1.5 us apart in a replayed graph (an operation is one
/// and a half of them on average), an all-reduce of one server 15 us, links 150 GB/s per card. 3.4
/// GB is what idle 910B cards report in use.
constexpr DeviceSpeed card_speed(double read_tb_s, double peak_tflop_s, double link_gb_s) {
  return {.read_bytes_per_s = read_tb_s * 1e12,
          .flops_per_s = peak_tflop_s * 0.75e12,
          .link_bytes_per_s = link_gb_s * 1e9,
          .op_s = 2.2e-6,
          .all_reduce_s = 15e-6};
}

Card npu(std::string_view name, std::uint64_t gib, const DeviceSpeed& speed) {
  constexpr std::uint64_t kIdleBytes = 3400ULL * 1000 * 1000;
  return {.name = name, .memory_bytes = gib * kGiB, .system_bytes = kIdleBytes, .speed = speed};
}

struct Item {
  int count = 1;
  const Card* card = nullptr;
  std::uint64_t memory_bytes = 0;
};

std::string names_text() {
  std::vector<std::string_view> names;
  for (const Card& card : known_cards()) names.push_back(card.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

template <typename... Args>
Error refused(std::string_view message, const Args&... args) {
  return {ErrorCode::invalid_request, fmt::format(fmt::runtime(message), args...)};
}

Result<Item> parse_item(std::string_view text, ChooseText choose) {
  Item item;
  std::string_view rest = text;
  int count = 0;
  const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), count);
  if (status == std::errc{} && end != rest.data() + rest.size() && *end == 'x') {
    if (count < 1 || count > kMostCards)
      return refused(choose("'{}': {} cards; 1 to {} were expected", "'{}'：{} 张卡；应为 1 到 {}"),
                     text,
                     count,
                     kMostCards);
    item.count = count;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + 1);
  }
  // The longest name first: Ascend910B4-1 begins like Ascend910B4 with a size.
  for (const Card& card : known_cards())
    if (rest.substr(0, card.name.size()) == card.name &&
        (rest.size() == card.name.size() || rest[card.name.size()] == '-') &&
        (item.card == nullptr || card.name.size() > item.card->name.size()))
      item.card = &card;
  if (item.card == nullptr)
    return refused(
        choose("'{}' is no card known here; expected COUNTxNAME-SIZE such as "
               "4xAscend910B4-32GiB, with one of {}",
               "'{}' 不是已知的卡；应为 数量x名称-内存，例如 4xAscend910B4-32GiB，名称可为 "
               "{}"),
        text,
        names_text());
  item.memory_bytes = item.card->memory_bytes;
  rest.remove_prefix(item.card->name.size());
  if (rest.empty()) return item;
  const Result<std::uint64_t> size = parse_bytes(std::string(rest.substr(1)));
  if (!size || *size == 0)
    return refused(choose("'{}': '{}' is no size of memory such as 32GiB",
                          "'{}'：'{}' 不是内存大小，例如 32GiB"),
                   text,
                   rest.substr(1));
  item.memory_bytes = *size;
  return item;
}

}  // namespace

const std::vector<Card>& known_cards() {
  // Source: platform files of CANN 8.1.RC1 (cores, clocks, memory); bandwidths as published.
  static const std::vector<Card> kCards = {
      npu("Ascend910B1", 64, card_speed(1.47, 364, 150)),
      npu("Ascend910B2", 64, card_speed(1.47, 354, 150)),
      npu("Ascend910B2C", 64, card_speed(1.47, 354, 150)),
      npu("Ascend910B3", 64, card_speed(1.47, 295, 150)),
      npu("Ascend910B4", 32, card_speed(0.74, 246, 150)),
      npu("Ascend910B4-1", 64, card_speed(0.74, 246, 150)),
      npu("Ascend910_9391", 64, card_speed(1.47, 364, 350)),
      npu("Ascend910_9392", 64, card_speed(1.47, 364, 350)),
      npu("Ascend910_9381", 64, card_speed(1.47, 354, 350)),
      npu("Ascend910_9382", 64, card_speed(1.47, 354, 350)),
      npu("Ascend910_9372", 64, card_speed(1.47, 295, 350)),
      npu("Ascend910_9362", 32, card_speed(0.74, 246, 350)),
      npu("Ascend310P1", 24, card_speed(0.19, 87, 20)),
      npu("Ascend310P3", 24, card_speed(0.19, 69, 20)),
  };
  return kCards;
}

Result<std::vector<DeviceBudget>> parse_cards(std::string_view list, ChooseText choose) {
  std::vector<DeviceBudget> devices;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t comma = std::min(list.find(',', start), list.size());
    const Result<Item> item = parse_item(list.substr(start, comma - start), choose);
    if (!item) return item.error();
    if (devices.size() + static_cast<std::size_t>(item->count) > kMostCards)
      return refused(
          choose("'{}': more than {} cards in all", "'{}'：总数超过 {} 张卡"), list, kMostCards);
    for (int i = 0; i < item->count; ++i)
      devices.push_back({.name = fmt::format("npu:{} {}", devices.size(), item->card->name),
                         .total_bytes = item->memory_bytes,
                         .free_bytes = item->memory_bytes -
                                       std::min(item->memory_bytes, item->card->system_bytes),
                         .described = true,
                         .speed = item->card->speed});
    start = comma + 1;
  }
  return devices;
}

}  // namespace fastchat::parallel
