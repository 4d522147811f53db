// `fastchat devices`: what there is to run on, and why the rest is not.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "device/device.h"
#include "serve/command.h"
#include "serve/command_line.h"
#include "serve/flag_checks.h"
#include "serve/language.h"
#include "serve/model_options.h"

namespace fastchat::serve {
namespace {

struct FoundDevice {
  device::DeviceInfo info;
  device::MemoryInfo memory;
};

struct FoundKind {
  std::string kind;
  std::string reason;  // why there is none; empty when there is
  std::vector<FoundDevice> devices;
};

FoundKind find_kind(const std::string& kind, const ModelOptions& options, ChooseText choose) {
  FoundKind found{.kind = kind, .reason = missing_platform(kind)};
  if (!found.reason.empty()) return found;
  ModelOptions of_kind = options;
  of_kind.device = kind;
  std::unique_ptr<device::Platform> platform;
  try {
    platform = open_platform(of_kind, choose);
  } catch (const Failure& failure) {
    found.reason = failure.what();
    return found;
  }
  found.reason = platform->unavailable_reason();
  for (int index = 0; index < platform->num_devices(); ++index)
    found.devices.push_back({platform->describe(index), platform->memory(index)});
  return found;
}

nlohmann::json to_json(const std::vector<FoundKind>& kinds) {
  nlohmann::json result = {{"schema_version", 1}, {"kinds", nlohmann::json::array()}};
  for (const FoundKind& kind : kinds) {
    nlohmann::json devices = nlohmann::json::array();
    for (const FoundDevice& device : kind.devices)
      devices.push_back({{"index", device.info.index},
                         {"physical_index", device.info.physical_index},
                         {"name", device.info.name},
                         {"details", device.info.details},
                         {"total_bytes", device.memory.total_bytes},
                         {"free_bytes", device.memory.free_bytes}});
    result["kinds"].push_back({{"kind", kind.kind},
                               {"available", kind.reason.empty()},
                               {"reason", kind.reason},
                               {"devices", std::move(devices)}});
  }
  return result;
}

void print_text(const std::vector<FoundKind>& kinds) {
  for (const FoundKind& kind : kinds) {
    if (!kind.reason.empty())
      fmt::print("{:<5} {}{}\n", kind.kind, say("not available. ", "不可用。"), kind.reason);
    for (const FoundDevice& device : kind.devices)
      fmt::print(fmt::runtime(text("{:<5} {}  {} ({}), {} free of {}\n",
                                   "{:<5} {}  {}（{}），空闲 {}，共 {}\n")),
                 kind.kind,
                 device.info.index,
                 device.info.name,
                 device.info.details,
                 format_bytes(device.memory.free_bytes),
                 format_bytes(device.memory.total_bytes));
  }
}

}  // namespace

int run_devices(int argc, char** argv) {
  ModelOptions options;
  bool as_json = false;
  CLI::App app(
      say("The devices that models can run on, their memory, and why a kind is not available.",
          "可以运行模型的设备及其内存；某类设备不可用时说明原因。"),
      "fastchat devices");
  app.add_option("--device",
                 options.device,
                 say("only this kind: cpu, npu or cuda (default: all)",
                     "只列出此类设备：cpu、npu 或 cuda（默认全部）"))
      ->check(one_of({"auto", "cpu", "npu", "cuda"}))
      ->type_name("KIND");
  app.add_option("--num-gpus",
                 options.num_gpus,
                 say("deal the cores out to this many cpu devices", "把核心分成这么多个 cpu 设备"))
      ->check(in_range(1, kMaxDevices))
      ->type_name("N");
  app.add_flag("--json", as_json, say("as JSON", "输出 JSON"));
  if (const std::optional<int> status = parse_command_line(app, argc, argv)) return *status;

  std::vector<std::string> names = {"cpu", "npu", "cuda"};
  if (options.device != "auto") names = {options.device};
  std::vector<FoundKind> kinds;
  kinds.reserve(names.size());
  for (const std::string& name : names)
    kinds.push_back(find_kind(name, options, as_json ? in_english : text));

  if (as_json)
    fmt::print("{}\n", to_json(kinds).dump(2));
  else
    print_text(kinds);
  const bool any = std::any_of(
      kinds.begin(), kinds.end(), [](const FoundKind& kind) { return !kind.devices.empty(); });
  return any ? 0 : 1;
}

}  // namespace fastchat::serve
