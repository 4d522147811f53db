// What CANN's status codes mean, and what to do about them.
#pragma once

#include <string>
#include <string_view>

namespace fastchat::device::ascend {

/// "ACL_ERROR_RT_MEMORY_ALLOCATION"; empty for a code that is not known.
std::string_view status_name(int status);
/// What a person can do about it; empty where nothing is known.
std::string_view status_advice(int status);
/// This thread's message of the library, on one line; reads, and by that clears it. Empty: none.
std::string recent_words();
/// "aclrtMalloc(4096 bytes) failed with 207001 (…NAME): the library's message; advice". Reads, and
/// by that clears, this thread's message of the library.
std::string describe_failure(int status, std::string_view call, std::string_view arguments = {});

/// Throws Failure unless `status` is 0.
void check_status(int status, std::string_view call, std::string_view arguments = {});

}  // namespace fastchat::device::ascend
