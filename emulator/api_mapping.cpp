// Entry points for virtual memory: addresses, physical memory, and mappings of one onto the other.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <utility>

#include "emulator/address_space.h"
#include "emulator/entry.h"
#include "emulator/memory.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

constexpr size_t kGranularity = size_t{2} << 20;

HandleTable<PhysicalMemory, 6>& handles() {
  static HandleTable<PhysicalMemory, 6>& table = *new HandleTable<PhysicalMemory, 6>();
  return table;
}

void require_zero(uint64_t value, const char* what) {
  if (value != 0)
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("{} {}: expected 0", what, value));
}

void require_granularity(size_t bytes) {
  if (bytes == 0 || bytes % kGranularity != 0) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                fmt::format("{} bytes: expected a multiple of {}", bytes, kGranularity));
  }
}

Card& require_location(const aclrtPhysicalMemProp* properties) {
  require_pointer(properties, "properties");
  if (properties->handleType != ACL_MEM_HANDLE_TYPE_NONE ||
      properties->allocationType != ACL_MEM_ALLOCATION_TYPE_PINNED ||
      properties->memAttr != ACL_HBM_MEM_HUGE ||
      properties->location.type != ACL_MEM_LOCATION_TYPE_DEVICE || properties->reserve != 0) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, "expected pinned huge pages of HBM on a device");
  }
  return require_card(properties->location.id);
}

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

}  // namespace

aclError aclrtReserveMemAddress(
    void** address, size_t bytes, size_t alignment, void* expected, uint64_t flags) {
  return guarded("aclrtReserveMemAddress", [&] {
    require_pointer(address, "address");
    require_context();
    require_zero(alignment, "alignment");
    require_zero(number(expected), "expected address");
    require_zero(flags, "flags");
    require_granularity(bytes);
    const uintptr_t reserved = address_space().reserve(bytes);
    *address = reinterpret_cast<void*>(reserved);  // NOLINT(performance-no-int-to-ptr)
  });
}

aclError aclrtReleaseMemAddress(void* address) {
  return guarded("aclrtReleaseMemAddress", [&] {
    switch (address_space().release_range(number(address))) {
      case AddressSpace::ReleaseResult::done:
        return;
      case AddressSpace::ReleaseResult::not_reserved:
        refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("{} is not reserved", address));
      case AddressSpace::ReleaseResult::still_mapped:
        refuse_call(ACL_ERROR_RT_PARAM_INVALID, "memory is still mapped there");
    }
  });
}

aclError aclrtMallocPhysical(aclrtDrvMemHandle* handle,
                             size_t bytes,
                             const aclrtPhysicalMemProp* properties,
                             uint64_t flags) {
  return guarded("aclrtMallocPhysical", [&] {
    require_pointer(handle, "handle");
    require_context();
    Card& card = require_location(properties);
    require_zero(flags, "flags");
    require_granularity(bytes);
    {
      const std::lock_guard lock(runtime().mutex);
      if (!charge(card, bytes)) {
        refuse_call(
            ACL_ERROR_RT_MEMORY_ALLOCATION,
            fmt::format(
                "{} bytes on card {}, which has {} free", bytes, card.id, free_bytes(card)));
      }
    }
    // The card gets the bytes back with the last handle and mapping.
    const auto give_back = [&card, bytes](PhysicalMemory* memory) {
      delete memory;
      uncharge(card, bytes);
    };
    *handle = handles().add({new PhysicalMemory(card.id, bytes), give_back});
  });
}

aclError aclrtFreePhysical(aclrtDrvMemHandle handle) {
  return guarded("aclrtFreePhysical", [&] {
    if (!handles().remove(handle))
      refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is not alive", handle));
  });
}

aclError aclrtMapMem(
    void* address, size_t bytes, size_t offset, aclrtDrvMemHandle handle, uint64_t flags) {
  return guarded("aclrtMapMem", [&] {
    require_context();
    require_zero(offset, "offset");
    require_zero(flags, "flags");
    const auto found = handles().find(handle);
    if (!found) refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is not alive", handle));
    if (bytes != found->storage()->bytes()) {
      refuse_call(
          ACL_ERROR_RT_PARAM_INVALID,
          fmt::format(
              "{} bytes of a handle of {}: expected all", bytes, found->storage()->bytes()));
    }
    if (number(address) % kGranularity != 0) {
      refuse_call(ACL_ERROR_RT_ADDR_UNALIGNED,
                  fmt::format("{}: expected a multiple of {}", address, kGranularity));
    }
    if (!address_space().map(number(address), found)) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  "the range is not reserved, or something is mapped there");
    }
  });
}

aclError aclrtUnmapMem(void* address) {
  return guarded("aclrtUnmapMem", [&] {
    if (!address_space().unmap(number(address))) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("no mapping begins at {}", address));
    }
  });
}

aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp* properties,
                                          aclrtMemGranularityOptions option,
                                          size_t* bytes) {
  return guarded("aclrtMemGetAllocationGranularity", [&] {
    require_pointer(bytes, "bytes");
    require_location(properties);
    if (option < ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM ||
        option > ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("option {}", static_cast<int>(option)));
    }
    *bytes = kGranularity;
  });
}

namespace emulator {

void release_physical_memory(const Card& card) {
  address_space().unmap_card(card.id);
  handles().remove_if(
      [&](const PhysicalMemory& memory) { return memory.storage()->card() == card.id; });
}

}  // namespace emulator
// NOLINTEND(readability-identifier-naming)
