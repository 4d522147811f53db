#include "device/ascend/visible_cards.h"

#include <cctype>
#include <cstdlib>
#include <string_view>

namespace fastchat::device::ascend {
namespace {

constexpr std::size_t kMaxMaskLength = 128;  // the runtime reads no more
constexpr int kMaxCardNumber = 1 << 20;      // far above any; keeps the sum below from overflowing

bool is_digit(char character) { return std::isdigit(static_cast<unsigned char>(character)) != 0; }

}  // namespace

VisibleCards parse_visible_cards(const std::string& mask, int num_cards) {
  const std::string_view text = std::string_view(mask).substr(0, kMaxMaskLength);
  if (text.empty()) return {.problem = MaskProblem::empty};
  if (!is_digit(text.front())) return {.problem = MaskProblem::no_number};
  VisibleCards visible;
  std::size_t at = 0;
  while (at < text.size() && is_digit(text[at])) {
    int card = 0;
    for (; at < text.size() && is_digit(text[at]); ++at)
      if (card < kMaxCardNumber) card = card * 10 + (text[at] - '0');
    if (num_cards > 0 && card >= num_cards) {
      visible.problem = MaskProblem::no_such_card;
      visible.wrong_card = card;
      return visible;
    }
    if (!visible.cards.empty() && card <= visible.cards.back())
      return {.problem = MaskProblem::not_ascending, .wrong_card = card};
    visible.cards.push_back(card);
    if (at == text.size()) return visible;
    if (text[at] != ',') break;
    ++at;
  }
  visible.problem = MaskProblem::ends_early;
  return visible;
}

int physical_card(const std::optional<std::string>& mask, int index) {
  if (!mask) return index;
  const VisibleCards visible = parse_visible_cards(*mask, 0);
  const auto position = static_cast<std::size_t>(index);
  return position < visible.cards.size() ? visible.cards[position] : index;
}

std::optional<std::string> visible_cards_mask() {
  const char* const mask = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
  if (mask == nullptr) return std::nullopt;
  return std::string(mask);
}

}  // namespace fastchat::device::ascend
