// `fastchat devices`: what there is to run on, and why the rest is not.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "base/choose_text.h"
#include "device/ascend/npu_device.h"
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
  std::string reason;  // why it does not open; empty when it does
};

struct FoundKind {
  std::string kind;
  std::string reason;  // why there is none; empty when there is
  std::vector<FoundDevice> devices;
  device::Diagnosis diagnosis;
};

std::unique_ptr<device::Platform> platform_of(const std::string& kind,
                                              const ModelOptions& options,
                                              ChooseText choose) {
  if (kind == "npu") return device::create_npu_platform({.choose = choose});
  ModelOptions of_kind = options;
  of_kind.device = kind;
  return open_platform(of_kind, choose);
}

FoundDevice find_device(device::Platform& platform, int index) {
  FoundDevice found{.info = platform.describe(index)};
  try {
    found.memory = platform.memory(index);
  } catch (const Failure& failure) {
    found.reason = failure.what();
  }
  return found;
}

FoundKind find_kind(const std::string& kind, const ModelOptions& options, ChooseText choose) {
  FoundKind found{.kind = kind, .reason = missing_platform(kind)};
  if (!found.reason.empty()) return found;
  const std::unique_ptr<device::Platform> platform = platform_of(kind, options, choose);
  found.reason = platform->unavailable_reason();
  for (int index = 0; index < platform->num_devices(); ++index)
    found.devices.push_back(find_device(*platform, index));
  found.diagnosis = platform->diagnose();
  return found;
}

bool has_usable_device(const FoundKind& kind) {
  return std::any_of(kind.devices.begin(), kind.devices.end(), [](const FoundDevice& device) {
    return device.reason.empty();
  });
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
                         {"available", device.reason.empty()},
                         {"reason", device.reason},
                         {"total_bytes", device.memory.total_bytes},
                         {"free_bytes", device.memory.free_bytes}});
    nlohmann::json facts = nlohmann::json::object();
    for (const device::Fact& fact : kind.diagnosis.facts) facts[fact.key] = fact.value;
    nlohmann::json findings = nlohmann::json::array();
    for (const device::Finding& finding : kind.diagnosis.findings)
      findings.push_back(
          {{"code", finding.code}, {"blocks", finding.blocks}, {"text", finding.text}});
    result["kinds"].push_back({{"kind", kind.kind},
                               {"available", kind.reason.empty()},
                               {"reason", kind.reason},
                               {"devices", std::move(devices)},
                               {"facts", std::move(facts)},
                               {"findings", std::move(findings)}});
  }
  return result;
}

/// What a device says of itself. Cards do so in English; theirs is put together again.
std::string details_of(const FoundKind& kind, const FoundDevice& device) {
  if (device.info.kind == device::DeviceKind::npu)
    for (const device::Fact& fact : kind.diagnosis.facts)
      if (fact.key == "cann_version")
        return say_with(
            "card {}, CANN {}", "{} 号卡，CANN {}", device.info.physical_index, fact.value);
  return device.info.details;
}

void print_device(const FoundKind& kind, const FoundDevice& device) {
  if (!device.reason.empty()) {
    fmt::print(fmt::runtime(text("{:<5} {}  {} ({}), does not open: {}\n",
                                 "{:<5} {}  {}（{}），无法打开：{}\n")),
               kind.kind,
               device.info.index,
               device.info.name,
               details_of(kind, device),
               device.reason);
    return;
  }
  fmt::print(fmt::runtime(text("{:<5} {}  {} ({}), {} free of {}\n",
                               "{:<5} {}  {}（{}），空闲 {}，共 {}\n")),
             kind.kind,
             device.info.index,
             device.info.name,
             details_of(kind, device),
             format_bytes(device.memory.free_bytes),
             format_bytes(device.memory.total_bytes));
}

void print_diagnosis(const FoundKind& kind) {
  constexpr std::string_view kIndent = "      ";
  for (const device::Finding& finding : kind.diagnosis.findings)
    if (finding.text != kind.reason) fmt::print("{}! {}\n", kIndent, finding.text);
  for (const device::Fact& fact : kind.diagnosis.facts)
    fmt::print("{}{}{}{}\n", kIndent, fact.label, text(": ", "："), fact.value);
}

void print_text(const std::vector<FoundKind>& kinds) {
  for (const FoundKind& kind : kinds) {
    if (!kind.reason.empty())
      fmt::print("{:<5} {}{}\n", kind.kind, say("not available. ", "不可用。"), kind.reason);
    for (const FoundDevice& device : kind.devices) print_device(kind, device);
    print_diagnosis(kind);
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
      ->check(device_kind())
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
  return std::any_of(kinds.begin(), kinds.end(), has_usable_device) ? 0 : 1;
}

}  // namespace fastchat::serve
