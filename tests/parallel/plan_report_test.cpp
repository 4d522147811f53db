// Text and JSON of plans. docs/plan-json.md is the schema: every key it documents must be there.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "parallel/planner.h"
#include "parallel/refusal_text.h"

namespace fastchat::parallel {
namespace {

using nlohmann::json;

PlanRequest small_request(std::int64_t max_model_len) {
  PlanRequest request;
  request.sizes.layer_weight_bytes.assign(8, 100);
  request.sizes.layer_kv_bytes_per_block.assign(8, 1);
  request.sizes.kv_block_size = 1;
  request.sizes.embedding_bytes = 200;
  for (const char* name : {"test:0", "test:1", "test:2"})
    request.devices.push_back(
        {.name = name, .total_bytes = 1000, .free_bytes = 900, .limit_bytes = 840});
  request.devices[1].limit_bytes = 20;
  request.max_model_len = max_model_len;
  request.max_num_seqs = 1;
  request.max_num_batched_tokens = 1;
  request.max_logits_rows = 1;
  return request;
}

/// "devices[].name" for every key of `value`; arrays give the keys of their first element.
void collect_keys(const json& value, const std::string& prefix, std::set<std::string>& keys) {
  if (value.is_array()) {
    if (!value.empty()) collect_keys(value.front(), prefix + "[]", keys);
    return;
  }
  if (!value.is_object()) return;
  for (const auto& [name, child] : value.items()) {
    const std::string key = prefix.empty() ? name : fmt::format("{}.{}", prefix, name);
    keys.insert(key);
    collect_keys(child, key, keys);
  }
}

/// Keys of the table below the heading `## <heading>`: the first cell of each row, in backquotes.
std::set<std::string> documented_keys(const std::string& heading) {
  std::ifstream file(std::filesystem::path(FASTCHAT_SOURCE_DIR) / "docs" / "plan-json.md");
  std::set<std::string> keys;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("## ", 0) == 0) inside = line == "## " + heading;
    if (inside && line.rfind("| `", 0) == 0) keys.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return keys;
}

TEST(PlanJson, HasExactlyTheDocumentedKeys) {
  PlanRequest request = small_request(30);
  request.parallel.mode = ParallelMode::automatic;
  std::set<std::string> keys;
  collect_keys(to_json(make_plan(request).value(), request), "", keys);
  EXPECT_EQ(keys, documented_keys("A plan"));
}

TEST(PlanText, ComparesSplitsOfLayersThatKeepNoKv) {
  PlanRequest request = small_request(30);
  request.sizes.layer_kv_bytes_per_block.assign(8, 0);
  request.devices[1].limit_bytes = 840;
  const Plan plan = make_plan(request).value();
  EXPECT_NE(to_text(plan, request).find("An even split"), std::string::npos);
}

TEST(PlanJson, RefusalHasExactlyTheDocumentedKeys) {
  const PlanRequest request = small_request(500);
  std::set<std::string> keys;
  collect_keys(to_json(explain_refusal(request), request), "", keys);
  EXPECT_EQ(keys, documented_keys("A refusal"));
}

TEST(PlanJson, ValuesAreThoseOfThePlan) {
  const PlanRequest request = small_request(30);
  const Plan plan = make_plan(request).value();
  const json result = to_json(plan, request);
  EXPECT_TRUE(result["fits"]);
  EXPECT_EQ(result["devices"][0]["num_layers"], plan.devices[0].num_layers);
  EXPECT_EQ(result["devices"][1]["num_layers"], 0);
  EXPECT_EQ(result["devices"][2]["first_layer"], plan.devices[2].first_layer);
  EXPECT_EQ(result["totals"]["weight_bytes"], 1000);
  EXPECT_EQ(result["kv"]["num_tokens"], 30);
  EXPECT_EQ(result["kv"]["bound"], "max_num_seqs");
  EXPECT_FALSE(result["even_split"]["fits"]);
  EXPECT_EQ(result["even_split"]["first_full_device"], 1);
}

TEST(PlanText, SaysWhoIsLeftOutAndWhatAnEvenSplitWouldDo) {
  const PlanRequest request = small_request(30);
  const std::string text = to_text(make_plan(request).value(), request);
  EXPECT_NE(text.find("Device 1 test:1 gets no layers"), std::string::npos) << text;
  EXPECT_NE(text.find("An even split (3 + 3 + 2 layers) would not load: device 1 test:1"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Context promised: 30 tokens"), std::string::npos) << text;
  EXPECT_EQ(text.find("As described"), std::string::npos) << text;
}

TEST(PlanText, MarksDescribedDevices) {
  PlanRequest request = small_request(30);
  request.devices[0].described = true;
  EXPECT_NE(to_text(make_plan(request).value(), request).find("As described"), std::string::npos);
  EXPECT_TRUE(to_json(make_plan(request).value(), request)["described"]);
}

TEST(RefusalText, NamesTheFlagWhereALimitIsInTheWay) {
  PlanRequest request = small_request(60);
  for (DeviceBudget& device : request.devices) {
    device.limit_bytes = budget_bytes(request, device);
    device.free_bytes = *device.limit_bytes;  // as a device with that limit says
  }
  const std::string text = to_text(explain_refusal(request), request);
  EXPECT_NE(text.find("alone (--max-gpu-memory"), std::string::npos) << text;
}

TEST(RefusalText, ShowsAShortfallThatRoundingWouldHide) {
  PlanRequest request = small_request(60);
  request.devices.resize(1);
  request.devices[0].total_bytes = request.devices[0].free_bytes = std::uint64_t{1} << 50;
  request.devices[0].limit_bytes = std::uint64_t{1} << 50;
  const Result<Plan> plenty = make_plan(request);
  ASSERT_TRUE(plenty) << plenty.error().message;
  // Weights far above a GiB, so that one byte too few is invisible in two decimals.
  request.sizes.layer_weight_bytes.front() += std::uint64_t{8} << 30;
  const Refusal probe = [&] {
    PlanRequest none = request;
    none.devices[0].limit_bytes = 1;
    return explain_refusal(none);
  }();
  request.devices[0].limit_bytes = probe.every_device_bytes - 1;
  const std::string text = to_text(explain_refusal(request), request);
  EXPECT_NE(text.find("1 B too few"), std::string::npos) << text;
}

TEST(RefusalText, FirstLineStandsAloneAndEachDeviceHasNumbers) {
  const PlanRequest request = small_request(60);
  const std::string text = to_text(explain_refusal(request), request);
  std::istringstream lines(text);
  std::string first;
  std::getline(lines, first);
  EXPECT_NE(first.find("a context of 60 tokens does not fit"), std::string::npos) << text;
  EXPECT_NE(first.find("--max-model-len 37 or less"), std::string::npos) << text;
  EXPECT_NE(first.find("more on device"), std::string::npos) << text;
  EXPECT_NE(first.find("3 devices like the largest, of 840 B each (--num-gpus 3)"),
            std::string::npos)
      << text;
  int num_devices = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(line.rfind("  device ", 0), 0u) << line;
    EXPECT_NE(line.find("are there"), std::string::npos) << line;
    ++num_devices;
  }
  EXPECT_EQ(num_devices, 3);
}

TEST(RefusalText, MoreSharesOfOneMemoryAreNotSuggested) {
  PlanRequest request = small_request(20);
  for (DeviceBudget& device : request.devices) device.limit_bytes.reset();
  request.memory_utilization = 0.5;
  request.shared_memory = true;
  const std::string text = to_text(explain_refusal(request), request);
  EXPECT_EQ(text.find("--num-gpus"), std::string::npos) << text;
  request.shared_memory = false;
  EXPECT_NE(to_text(explain_refusal(request), request).find("--num-gpus"), std::string::npos);
}

TEST(RefusalText, RemediesAreThoseThatTheSurroundingsAllow) {
  PlanRequest request = small_request(60);
  const Refusal refusal = explain_refusal(request);
  const auto says = [&](const Surroundings& surroundings, const std::string& part) {
    return to_text(refusal, request, surroundings).find(part) != std::string::npos;
  };
  EXPECT_TRUE(says({}, "on every device"));
  EXPECT_TRUE(says({}, "alone ("));
  EXPECT_FALSE(says({.device_bytes = {840, 20, 840}}, "on every device"));
  EXPECT_FALSE(says({.device_bytes = {840, 20, 840}}, "alone ("));
  EXPECT_TRUE(says({.device_bytes = {840, 20, std::nullopt}}, "alone (") ||
              says({.device_bytes = {std::nullopt, 20, 840}}, "alone (") ||
              says({.device_bytes = {840, std::nullopt, 840}}, "alone ("));
  EXPECT_TRUE(says({.num_devices_there = 3}, "--num-gpus 3"));
  EXPECT_FALSE(says({.num_devices_there = 2}, "--num-gpus"));
  EXPECT_TRUE(says({.are_named_cards = true}, "--cards 3x"));
  EXPECT_FALSE(says({.are_named_cards = true}, "--num-gpus"));
  EXPECT_FALSE(says({}, "--load-8bit"));
  EXPECT_TRUE(says({.fits_in_8_bits = true}, "--load-8bit"));
}

TEST(RefusalText, DevicesOfOneMemoryAreNotRaisedBeyondIt) {
  PlanRequest request = small_request(60);
  request.shared_memory = true;
  const Refusal refusal = explain_refusal(request);
  const std::string all = to_text(refusal, request, {.shared_bytes = 100000});
  EXPECT_NE(all.find("on every device"), std::string::npos) << all;
  EXPECT_NE(all.find("--num-gpus 3"), std::string::npos) << all;
  const std::string some = to_text(refusal, request, {.shared_bytes = 1700});
  EXPECT_EQ(some.find("on every device"), std::string::npos) << some;
  EXPECT_EQ(some.find("--num-gpus"), std::string::npos) << some;
}

TEST(RefusalText, AWorkspaceThatIsTooLargeIsSaidToBe) {
  PlanRequest request = small_request(1);
  request.devices.resize(1);
  request.max_num_batched_tokens = 100;
  request.sizes.activation_bytes_per_token = 10;  // weights 1000
  request.devices[0].limit_bytes = 1500;
  request.devices[0].free_bytes = request.devices[0].total_bytes = 1500;
  const std::string text = to_text(explain_refusal(request), request);
  EXPECT_EQ(text.find("the weights fit, the workspace beside them (1004 B) does not fit"), 0u)
      << text;
  const std::string flag = "--max-num-batched-tokens ";
  ASSERT_NE(text.find(flag), std::string::npos) << text;
  request.max_num_batched_tokens = std::stoi(text.substr(text.find(flag) + flag.size()));
  EXPECT_GT(request.max_num_batched_tokens, 32);
  EXPECT_TRUE(make_plan(request));
  ++request.max_num_batched_tokens;
  EXPECT_FALSE(make_plan(request));
}

}  // namespace
}  // namespace fastchat::parallel
