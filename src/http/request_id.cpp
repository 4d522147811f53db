#include "http/request_id.h"

#include <algorithm>
#include <cstddef>
#include <random>

#include <fmt/format.h>

namespace fastchat::http {
namespace {

constexpr std::size_t kMaxLength = 128;

bool printable(char c) { return c >= ' ' && c <= '~'; }

std::string random_id() {
  // Unguessable it need not be: it names a request, and opens nothing.
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return fmt::format("{:016x}{:016x}", random(), random());
}

}  // namespace

std::string request_id(std::optional<std::string_view> sent) {
  const bool usable = sent && !sent->empty() && sent->size() <= kMaxLength &&
                      std::all_of(sent->begin(), sent->end(), printable);
  return usable ? std::string(*sent) : random_id();
}

}  // namespace fastchat::http
