#include "emulator/settings.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace emulator {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

// Core counts and cache of the platform files of CANN 8.1.
const std::array<Soc, 6>& known_socs() {
  static const std::array<Soc, 6> kSocs{{
      {"Ascend910B1", 24, 48, int64_t{192} << 20, true, true},
      {"Ascend910B2", 24, 48, int64_t{192} << 20, true, true},
      {"Ascend910B3", 20, 40, int64_t{192} << 20, true, true},
      {"Ascend910B4", 20, 40, int64_t{96} << 20, true, true},
      {"Ascend910_9391", 24, 48, int64_t{192} << 20, true, true},
      {"Ascend310P3", 8, 7, int64_t{16} << 20, false, false},
  }};
  return kSocs;
}

[[noreturn]] void stop(const std::string& message) {
  fmt::print(stderr, "[emulator] {}\n", message);
  std::_Exit(2);
}

std::string variable(const char* name) { return std::string("FASTCHAT_EMULATOR_") + name; }

std::optional<uint64_t> parse_number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<uint64_t> number(const char* name) {
  const std::string text = environment(variable(name).c_str());
  if (text.empty()) return std::nullopt;
  const auto value = parse_number(text);
  if (!value) stop(fmt::format("{}={}: expected a whole number", variable(name), text));
  return value;
}

double factor(const char* name, double fallback) {
  const std::string text = environment(variable(name).c_str());
  if (text.empty()) return fallback;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !std::isfinite(value) || value < 0)
    stop(fmt::format("{}={}: expected a number of at least 0", variable(name), text));
  return value;
}

Mode chosen_mode() {
  const std::string name = environment(variable("MODE").c_str(), "compute");
  if (name == "compute") return Mode::compute;
  if (name == "paced") return Mode::paced;
  stop(fmt::format("{}={}: expected compute or paced", variable("MODE"), name));
}

std::vector<uint64_t> bytes_per_card(const char* name, const std::string& fallback, int num_cards) {
  const std::string text = environment(variable(name).c_str(), fallback);
  std::vector<uint64_t> values;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const auto value = parse_bytes(part);
    if (!value)
      stop(fmt::format(
          "{}={}: expected whole numbers of KiB, MiB or GiB such as 64GiB, separated by commas, "
          "got '{}'",
          variable(name),
          text,
          part));
    values.push_back(*value);
  }
  if (values.size() == 1) values.assign(static_cast<size_t>(num_cards), values[0]);
  if (values.size() != static_cast<size_t>(num_cards)) {
    stop(fmt::format(
        "{}={}: expected one size, or one for each of {} cards", variable(name), text, num_cards));
  }
  return values;
}

Soc chosen_soc() {
  const std::string name = environment(variable("SOC").c_str(), "Ascend910B1");
  std::string names;
  for (const Soc& soc : known_socs()) {
    if (soc.name == name) return soc;
    names += " " + soc.name;
  }
  stop(fmt::format("{}={}: expected one of{}", variable("SOC"), name, names));
}

Settings read_settings() {
  Settings read;
  const uint64_t cards = number("CARDS").value_or(8);
  if (cards > 64) stop(fmt::format("{}={}: expected 0 to 64", variable("CARDS"), cards));
  read.num_cards = static_cast<int>(cards);
  read.memory_bytes = bytes_per_card("MEMORY", "64GiB", read.num_cards);
  read.taken_bytes = bytes_per_card("TAKEN", "0", read.num_cards);
  read.soc = chosen_soc();
  read.delay_seed = number("DELAY_SEED");
  read.max_delay = std::chrono::microseconds(number("DELAY_US").value_or(300));
  read.report_path = environment(variable("REPORT").c_str());
  read.mode = chosen_mode();
  read.dilation = factor("DILATION", read.dilation);
  read.launch_cost = factor("LAUNCH_COST", read.launch_cost);
  read.timeline_path = environment(variable("TIMELINE").c_str());
  read.ignores_updates = number("IGNORE_UPDATES").value_or(0) != 0;
  read.max_streams = static_cast<int>(number("STREAMS").value_or(1984));
  read.max_events = static_cast<int>(number("EVENTS").value_or(65536));
  if (const auto timeout = number("HCCL_TIMEOUT_MS"))
    read.hccl_timeout = std::chrono::milliseconds(*timeout);
  return read;
}

}  // namespace

std::string environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : fallback;
}

std::optional<uint64_t> parse_bytes(const std::string& text) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0)
    ++digits;
  const auto value = parse_number(text.substr(0, digits));
  if (!value) return std::nullopt;
  std::string unit = text.substr(digits);
  unit.erase(0, unit.find_first_not_of(' '));
  if (unit.empty()) return value;
  if (unit == "KiB") return *value << 10;
  if (unit == "MiB") return *value * kMiB;
  if (unit == "GiB") return *value * kGiB;
  return std::nullopt;
}

const Settings& settings() {
  static const Settings& read = *new Settings(read_settings());  // outlives every thread
  return read;
}

}  // namespace emulator
