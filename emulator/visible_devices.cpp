#include "emulator/visible_devices.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <numeric>
#include <string_view>

namespace emulator {
namespace {

constexpr size_t kMaxLength = 128;

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

}  // namespace

std::vector<int> parse_visible_devices(const char* text, int num_cards) {
  std::vector<int> cards;
  if (text == nullptr) {
    cards.resize(static_cast<size_t>(num_cards));
    std::iota(cards.begin(), cards.end(), 0);
    return cards;
  }
  std::string_view rest = std::string_view(text).substr(0, kMaxLength);
  while (!rest.empty() && is_digit(rest.front())) {
    int id = 0;
    while (!rest.empty() && is_digit(rest.front())) {
      id = std::min(id * 10 + (rest.front() - '0'), 1 << 20);
      rest.remove_prefix(1);
    }
    if (id >= num_cards) break;
    if (!cards.empty() && id <= cards.back()) return {};
    cards.push_back(id);
    if (rest.empty() || rest.front() != ',') break;
    rest.remove_prefix(1);
  }
  return cards;
}

}  // namespace emulator
