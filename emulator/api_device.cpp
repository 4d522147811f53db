// Entry points for devices and contexts.
// NOLINTBEGIN(readability-identifier-naming): the vendor's names.
#include <utility>

#include "emulator/address_space.h"
#include "emulator/capture.h"
#include "emulator/entry.h"
#include "emulator/memory.h"

using namespace emulator;  // NOLINT(google-build-using-namespace)

namespace {

void reset(const char* call, int32_t device, bool force) {
  require_initialised();
  Card& card = require_card(device);
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  if (card.set_count == 0) {
    refuse_call(ACL_ERROR_RT_CONTEXT_NULL, fmt::format("{}: device {} is not set", call, device));
  }
  if (!force && --card.set_count > 0) return;
  reset_card(lock, card);
  lock.unlock();
  release_physical_memory(card);
}

void synchronize_card(int32_t timeout_ms, aclError timeout_code) {
  const auto context = require_context();
  const auto deadline = deadline_of(timeout_ms);
  Runtime& state = runtime();
  std::unique_lock lock(state.mutex);
  for (const auto& stream : std::vector(state.streams)) {
    if (stream->card != context->card) continue;
    refuse_captured(*stream, "a wait for the device");
    synchronize(lock, *stream, deadline, timeout_code);
  }
  if (context->card->fault != ACL_SUCCESS) refuse_call(context->card->fault, context->card->why);
}

void set_option(std::map<int, int64_t>& options, aclSysParamOpt option, int64_t value) {
  if (option < ACL_OPT_DETERMINISTIC || option > 2) {
    refuse_call(ACL_ERROR_RT_PARAM_INVALID, fmt::format("option {}", static_cast<int>(option)));
  }
  options[option] = value;
}

std::map<int, int64_t>& process_options() {
  static std::map<int, int64_t>& options = *new std::map<int, int64_t>();
  return options;
}

}  // namespace

aclError aclrtSetDevice(int32_t device) {
  return guarded("aclrtSetDevice", [&] {
    require_initialised();
    Card& card = require_card(device);
    const std::lock_guard lock(runtime().mutex);
    if (!card.default_context) {
      card.default_context = std::make_shared<Context>();
      card.default_context->card = &card;
      card.default_context->is_default = true;
      runtime().contexts.add(card.default_context);
    }
    ++card.set_count;
    current_context() = card.default_context;
  });
}

aclError aclrtResetDevice(int32_t device) {
  return guarded("aclrtResetDevice", [&] { reset("aclrtResetDevice", device, false); });
}

aclError aclrtResetDeviceForce(int32_t device) {
  return guarded("aclrtResetDeviceForce", [&] { reset("aclrtResetDeviceForce", device, true); });
}

aclError aclrtGetDevice(int32_t* device) {
  return guarded("aclrtGetDevice", [&] {
    require_pointer(device, "device");
    *device = user_id(*require_context()->card);
  });
}

aclError aclrtSynchronizeDevice() {
  return guarded("aclrtSynchronizeDevice",
                 [&] { synchronize_card(-1, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT); });
}

aclError aclrtSynchronizeDeviceWithTimeout(int32_t timeout_ms) {
  return guarded("aclrtSynchronizeDeviceWithTimeout",
                 [&] { synchronize_card(timeout_ms, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT); });
}

aclError aclrtDeviceTaskAbort(int32_t device, uint32_t /*timeout_ms*/) {
  return guarded("aclrtDeviceTaskAbort", [&] {
    require_initialised();
    Card& card = require_card(device);
    const std::lock_guard lock(runtime().mutex);
    card.fault = ACL_ERROR_RT_DEVICE_TASK_ABORT;
    card.why = "the tasks of the device were aborted";
    runtime().notify();
  });
}

aclError aclrtCreateContext(aclrtContext* context, int32_t device) {
  return guarded("aclrtCreateContext", [&] {
    require_pointer(context, "context");
    require_initialised();
    Card& card = require_card(device);
    auto made = std::make_shared<Context>();
    made->card = &card;
    *context = runtime().contexts.add(made);
    current_context() = std::move(made);
  });
}

aclError aclrtDestroyContext(aclrtContext context) {
  return guarded("aclrtDestroyContext", [&] {
    require_pointer(context, "context");
    Runtime& state = runtime();
    const auto found = state.contexts.find(context);
    if (!found)
      refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live context", context));
    std::unique_lock lock(state.mutex);
    if (found->is_default) {
      refuse_call(ACL_ERROR_RT_PARAM_INVALID,
                  "the default context of a device is not destroyed by hand");
    }
    for (const auto& stream : std::vector(state.streams)) {
      if (stream->context == found) close_stream(lock, *stream, true);
    }
    state.stream_handles.remove_if([&](const Stream& stream) { return stream.context == found; });
    found->alive = false;
    found->default_stream = nullptr;
    state.contexts.remove(context);
  });
}

aclError aclrtSetCurrentContext(aclrtContext context) {
  return guarded("aclrtSetCurrentContext", [&] {
    require_initialised();
    auto found = runtime().contexts.find(context);
    if (!found)
      refuse_call(ACL_ERROR_RT_INVALID_HANDLE, fmt::format("{} is no live context", context));
    current_context() = std::move(found);
  });
}

aclError aclrtGetCurrentContext(aclrtContext* context) {
  return guarded("aclrtGetCurrentContext", [&] {
    require_pointer(context, "context");
    *context = runtime().contexts.handle_of(*require_context());
  });
}

aclError aclrtSetSysParamOpt(aclSysParamOpt option, int64_t value) {
  return guarded("aclrtSetSysParamOpt", [&] {
    const std::lock_guard lock(runtime().mutex);
    set_option(process_options(), option, value);
  });
}

aclError aclrtGetSysParamOpt(aclSysParamOpt option, int64_t* value) {
  return guarded("aclrtGetSysParamOpt", [&] {
    require_pointer(value, "value");
    const std::lock_guard lock(runtime().mutex);
    *value = process_options()[option];
  });
}

aclError aclrtCtxSetSysParamOpt(aclSysParamOpt option, int64_t value) {
  return guarded("aclrtCtxSetSysParamOpt", [&] {
    const auto context = require_context();
    const std::lock_guard lock(runtime().mutex);
    set_option(context->options, option, value);
  });
}

aclError aclrtCtxGetSysParamOpt(aclSysParamOpt option, int64_t* value) {
  return guarded("aclrtCtxGetSysParamOpt", [&] {
    require_pointer(value, "value");
    const auto context = require_context();
    const std::lock_guard lock(runtime().mutex);
    *value = context->options[option];
  });
}

aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode mode) {
  return guarded("aclrtSetDeviceSatMode", [&] {
    require_context();
    // The other modes change what operators compute; none of ours does.
    if (mode != ACL_RT_OVERFLOW_MODE_INFNAN) {
      refuse_call(ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                  "only INFNAN, the default of these chips, is emulated");
    }
  });
}

aclError aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode) {
  return guarded("aclrtGetDeviceSatMode", [&] {
    require_pointer(mode, "mode");
    require_context();
    *mode = ACL_RT_OVERFLOW_MODE_INFNAN;
  });
}

// ---- peer access ------------------------------------------------------------------------------

aclError aclrtDeviceCanAccessPeer(int32_t* can, int32_t device, int32_t peer) {
  return guarded("aclrtDeviceCanAccessPeer", [&] {
    require_pointer(can, "can");
    require_initialised();
    require_card(device);
    require_card(peer);
    if (device == peer) refuse_call(ACL_ERROR_INVALID_PARAM, "a device is no peer of itself");
    *can = 1;
  });
}

aclError aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t flags) {
  return guarded("aclrtDeviceEnablePeerAccess", [&] {
    const auto context = require_context();
    const Card& other = require_card(peer);
    if (flags != 0)
      refuse_call(ACL_ERROR_INVALID_PARAM, fmt::format("flags {}: expected 0", flags));
    if (&other == context->card)
      refuse_call(ACL_ERROR_INVALID_PARAM, "a device is no peer of itself");
    const std::lock_guard lock(runtime().mutex);
    context->card->reaches |= card_bit(other.id);
  });
}

aclError aclrtDeviceDisablePeerAccess(int32_t peer) {
  return guarded("aclrtDeviceDisablePeerAccess", [&] {
    const auto context = require_context();
    const Card& other = require_card(peer);
    const std::lock_guard lock(runtime().mutex);
    const uint64_t before = context->card->reaches.fetch_and(~card_bit(other.id));
    if ((before & card_bit(other.id)) == 0) {
      refuse_call(ACL_ERROR_INVALID_PARAM,
                  fmt::format("peer access to device {} is not enabled", peer));
    }
  });
}
// NOLINTEND(readability-identifier-naming)
