// Entry points for memory: of cards, mapped, and of the host.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <utility>

#include "emulator/address_space.h"
#include "emulator/entry.h"
#include "emulator/host_memory.h"
#include "emulator/memory.h"
#include "emulator/op.h"
#include "emulator/settings.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kGiantPage = uint64_t{1} << 30;
constexpr uint64_t kNormalPagesUpTo = uint64_t{1} << 20;  // with HUGE_FIRST
constexpr uint64_t kUnit = 32;                            // sizes are rounded up to it
constexpr uint64_t kOverRead = 32;                        // added, as kernels read past the end

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

uint64_t page_of(int policy, uint64_t bytes) {
  switch (policy) {
    case ACL_MEM_MALLOC_HUGE_FIRST:
    case ACL_MEM_MALLOC_HUGE_FIRST_P2P:
      return bytes <= kNormalPagesUpTo ? kPage : kHugePage;
    case ACL_MEM_MALLOC_NORMAL_ONLY:
    case ACL_MEM_MALLOC_NORMAL_ONLY_P2P:
      return kPage;
    case ACL_MEM_MALLOC_HUGE1G_ONLY:
    case ACL_MEM_MALLOC_HUGE1G_ONLY_P2P:
      return kGiantPage;
    default:
      return kHugePage;
  }
}

void allocate(void** address, size_t bytes, aclrtMemMallocPolicy policy, uint64_t over_read) {
  require_pointer(address, "address");
  const auto context = require_context();
  if (bytes == 0) refuse_call(ACL_ERROR_INVALID_PARAM, "0 bytes");
  constexpr int kModifiers = ACL_MEM_TYPE_LOW_BAND_WIDTH | ACL_MEM_TYPE_HIGH_BAND_WIDTH | 0x100000;
  const int base = static_cast<int>(policy) & ~kModifiers;
  if (base < ACL_MEM_MALLOC_HUGE_FIRST || base > ACL_MEM_MALLOC_HUGE1G_ONLY_P2P) {
    refuse_call(ACL_ERROR_RT_INVALID_MALLOC_TYPE,
                fmt::format("policy {:#x}", static_cast<unsigned>(policy)));
  }
  Card& card = *context->card;
  const std::lock_guard lock(runtime().mutex);
  if (card.fault != ACL_SUCCESS) refuse_call(card.fault, card.why);
  const bool too_large = bytes > card.memory_bytes;  // before rounding, which could wrap round
  const uint64_t rounded = round_up(bytes, kUnit) + over_read;
  const uint64_t charged = round_up(rounded, page_of(base, rounded));
  if (too_large || !charge(card, charged)) {
    refuse_call(ACL_ERROR_RT_MEMORY_ALLOCATION,
                fmt::format("{} bytes on card {}, which has {} of {} free",
                            bytes,
                            card.id,
                            free_bytes(card),
                            card.memory_bytes));
  }
  const uintptr_t at = address_space().allocate(card.id, bytes);
  card.charged[at] = charged;
  *address = reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr)
}

void free_memory(void* address) {
  if (address == nullptr) refuse_call(ACL_ERROR_INVALID_PARAM, "the address is null");
  const auto context = require_context();
  Card& card = *context->card;
  const std::lock_guard lock(runtime().mutex);
  const auto found = card.charged.find(reinterpret_cast<uintptr_t>(address));
  if (found == card.charged.end()) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("{} is no live allocation of card {}", address, card.id));
  }
  address_space().release(found->first);
  uncharge(card, found->second);
  card.charged.erase(found);
}

bool is_hbm(int attribute) {
  switch (attribute) {
    case ACL_HBM_MEM:
    case ACL_HBM_MEM_HUGE:
    case ACL_HBM_MEM_NORMAL:
    case ACL_HBM_MEM_P2P_HUGE:
    case ACL_HBM_MEM_P2P_NORMAL:
    case ACL_HBM_MEM_HUGE1G:
    case ACL_HBM_MEM_P2P_HUGE1G:
      return true;
    default:
      return attribute > ACL_HBM_MEM_P2P_HUGE1G;  // from 8.5: whichever memory the chip has
  }
}

}  // namespace

aclError aclrtMalloc(void** address, size_t bytes, aclrtMemMallocPolicy policy) {
  return guarded("aclrtMalloc", [&] { allocate(address, bytes, policy, kOverRead); });
}
aclError aclrtMallocAlign32(void** address, size_t bytes, aclrtMemMallocPolicy policy) {
  return guarded("aclrtMallocAlign32", [&] { allocate(address, bytes, policy, 0); });
}
aclError aclrtMallocCached(void** address, size_t bytes, aclrtMemMallocPolicy policy) {
  return guarded("aclrtMallocCached", [&] { allocate(address, bytes, policy, kOverRead); });
}
aclError aclrtFree(void* address) {
  return guarded("aclrtFree", [&] { free_memory(address); });
}

aclError aclrtFreeWithDevSync(void* address) {
  return guarded("aclrtFreeWithDevSync", [&] {
    const auto context = require_context();
    {
      Runtime& state = runtime();
      std::unique_lock lock(state.mutex);
      for (const auto& stream : std::vector(state.streams)) {
        if (stream->card == context->card)
          synchronize(lock, *stream, std::nullopt, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT);
      }
    }
    free_memory(address);
  });
}

aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t* free, size_t* total) {
  return guarded("aclrtGetMemInfo", [&] {
    require_pointer(free, "free");
    require_pointer(total, "total");
    const auto context = require_context();
    const int last = cann_version() >= 850 ? 17 : ACL_HBM_MEM_P2P_HUGE1G;
    if (attribute < ACL_DDR_MEM || attribute > last) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("attribute {}", static_cast<int>(attribute)));
    }
    // Chips have one kind of memory: those with HBM have no DDR, and 310P answers for DDR when
    // asked for HBM.
    const bool asked_for_what_is_there = is_hbm(attribute) || !settings().soc.has_hbm;
    const std::lock_guard lock(runtime().mutex);
    *free = asked_for_what_is_there ? free_bytes(*context->card) : 0;
    *total = asked_for_what_is_there ? context->card->memory_bytes : 0;
  });
}

aclError aclrtPointerGetAttributes(const void* address, aclrtPtrAttributes* attributes) {
  return guarded("aclrtPointerGetAttributes", [&] {
    require_pointer(address, "address");
    require_pointer(attributes, "attributes");
    require_context();
    constexpr int kUnregistered = 2;
    *attributes = {};
    const auto block = address_space().find(reinterpret_cast<uintptr_t>(address));
    if (block) {
      const Card& card = *runtime().cards[static_cast<size_t>(block->storage->card())];
      attributes->location = {static_cast<uint32_t>(user_id(card)), ACL_MEM_LOCATION_TYPE_DEVICE};
      attributes->pageSize = block->bytes <= kNormalPagesUpTo ? kPage : kHugePage;
    } else {
      attributes->location = {0,
                              is_pinned(address, 1)
                                  ? ACL_MEM_LOCATION_TYPE_HOST
                                  : static_cast<aclrtMemLocationType>(kUnregistered)};
      attributes->pageSize = kPage;
    }
  });
}

// ---- pinned host memory -----------------------------------------------------------------------

aclError aclrtMallocHost(void** address, size_t bytes) {
  return guarded("aclrtMallocHost", [&] {
    require_pointer(address, "address");
    require_context();
    if (bytes == 0) refuse_call(ACL_ERROR_INVALID_PARAM, "0 bytes");
    *address = allocate_pinned(bytes);
    if (*address == nullptr) {
      refuse_call(ACL_ERROR_RT_MEMORY_ALLOCATION, fmt::format("the host has no {} bytes", bytes));
    }
  });
}

aclError aclrtFreeHost(void* address) {
  return guarded("aclrtFreeHost", [&] {
    if (address == nullptr) refuse_call(ACL_ERROR_INVALID_PARAM, "the address is null");
    if (!free_pinned(address)) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("{} is not from aclrtMallocHost, or freed", address));
    }
  });
}

aclError aclrtHostRegister(void* address,
                           uint64_t bytes,
                           aclrtHostRegisterType type,
                           void** device_address) {
  return guarded("aclrtHostRegister", [&] {
    require_pointer(address, "address");
    require_pointer(device_address, "device address");
    require_context();
    if (type != ACL_HOST_REGISTER_MAPPED || bytes == 0) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  fmt::format("type {}, {} bytes", static_cast<int>(type), bytes));
    }
    if (!register_pinned(address, bytes))
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, "part of it is pinned already");
    *device_address = address;
  });
}

aclError aclrtHostUnregister(void* address) {
  return guarded("aclrtHostUnregister", [&] {
    if (!unregister_pinned(address))
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, "the memory is not registered");
  });
}
// NOLINTEND(readability-identifier-naming)
