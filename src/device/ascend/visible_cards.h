// What ASCEND_RT_VISIBLE_DEVICES leaves, by the runtime's own grammar.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fastchat::device::ascend {

enum class MaskProblem : std::uint8_t {
  none,
  empty,          // set, and names nothing
  no_number,      // does not start with a digit
  not_ascending,  // a number that is not above the one before it: all of the list is refused
  no_such_card,   // a number that no card has: it and what follows are ignored
  ends_early,  // another character than digits and single commas: it and what follows are ignored
};

struct VisibleCards {
  std::vector<int> cards;  // physical numbers in the order of the visible indices
  MaskProblem problem = MaskProblem::none;
  int wrong_card = -1;  // of no_such_card and not_ascending
};

/// `mask` as the environment has it. `num_cards` of the machine; 0 = not known, then every number
/// is taken for a card.
VisibleCards parse_visible_cards(const std::string& mask, int num_cards);

/// The physical number of a visible index under this mask; nullopt = no mask.
int physical_card(const std::optional<std::string>& mask, int index);

/// The variable; nullopt when it is not set.
std::optional<std::string> visible_cards_mask();

}  // namespace fastchat::device::ascend
