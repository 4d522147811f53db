// The name of a request in answers and logs.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fastchat::http {

/// `sent` if it can be repeated safely (1 to 128 printable ASCII characters), else a random one.
/// Any thread.
std::string request_id(std::optional<std::string_view> sent);

}  // namespace fastchat::http
