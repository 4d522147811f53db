// What to say about a verb that `fastchat` does not have.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fastchat::serve {

/// True for verbs that are designed and not there yet: serve, worker, controller, api, doctor,
/// bench, quantize.
bool is_planned_verb(std::string_view verb);

/// Letters to insert, delete, replace or swap with their neighbour.
std::size_t edit_distance(std::string_view from, std::string_view to);

/// The candidate fewest edits (insert, delete, replace, swap) away from `name`; empty when the best
/// one needs more than a third of the name's letters, and more than two.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace fastchat::serve
