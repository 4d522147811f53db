// How entry points refuse: a code for the client, a text for aclGetRecentErrMsg.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "device/ascend/cann.h"

namespace emulator {

/// Thrown by what an entry point calls; `guarded` turns it into the returned code.
struct Refused {
  int code;
  std::string why;
};

[[noreturn]] void refuse_call(int code, std::string why);

/// Appends to what this thread's next aclGetRecentErrMsg returns.
void remember_error(const char* call, int code, const std::string& why);
/// This thread's last code other than 0; `clear` as aclrtGetLastError does.
int last_error(bool clear);
/// Null when there is none.
const char* take_recent_errors();

/// Before any other work of an entry point. Seam for faults on request: a non-zero code is returned
/// in its stead.
int before_call(const char* call);

/// Runs the body of an entry point and gives the code to return: 0, or the code of what was thrown.
template <typename Body>
int guarded(const char* call, const Body& body) {
  try {
    if (const int code = before_call(call); code != 0) return code;
    body();
    return 0;
  } catch (const Refused& refused) {
    remember_error(call, refused.code, refused.why);
    return refused.code;
  } catch (const std::bad_alloc&) {
    remember_error(call, ACL_ERROR_BAD_ALLOC, "the host is out of memory");
    return ACL_ERROR_BAD_ALLOC;
  }
}

/// The same for HCCL, whose codes are an enumeration.
template <typename Body>
HcclResult guarded_hccl(const char* call, const Body& body) {
  return static_cast<HcclResult>(guarded(call, body));
}

/// A client's mistake after which nothing sensible can follow: prints it and aborts.
[[noreturn]] void client_bug(const std::string& what);

}  // namespace emulator
