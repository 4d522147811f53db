#include "serve/parallel_options.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "serve/flag_checks.h"
#include "serve/language.h"

namespace fastchat::serve {
namespace {

using parallel::ParallelMode;

constexpr ParallelMode kModes[] = {
    ParallelMode::automatic, ParallelMode::layer, ParallelMode::pipeline, ParallelMode::tensor};

void read_mode(const std::string& value, ParallelOptions& options) {
  for (const ParallelMode mode : kModes)
    if (value == parallel::to_string(mode)) options.request.mode = mode;
}

}  // namespace

void add_parallel_options(CLI::App& app, ParallelOptions& options) {
  const std::string group = say("Several devices", "多设备");
  std::vector<std::string> names;
  for (const ParallelMode mode : kModes) names.emplace_back(parallel::to_string(mode));
  app.add_option_function<std::string>(
         "--parallel",
         [&options](const std::string& value) { read_mode(value, options); },
         say("layer: contiguous layers per device, one batch walks them; pipeline: several batches "
             "in flight,\n"
             "so that all devices compute; tensor: every layer split over all devices, fastest for "
             "one chat;\n"
             "auto: the one estimated fastest (printed with its reason)",
             "layer：每个设备放连续的若干层，一批数据依次经过；pipeline：多批数据同时流动，所有设备"
             "同时计算；\n"
             "tensor：每一层切分到所有设备，单个对话最快；auto：选估计最快的方式（并说明理由）"))
      ->check(one_of(names))
      ->type_name("auto|layer|pipeline|tensor")
      ->default_str("auto")
      ->group(group);
  app.add_option("--pipeline-parallel-size",
                 options.request.pipeline_size,
                 say("stages, one after another; times --tensor-parallel-size it is the number of "
                     "devices",
                     "流水线级数；与 --tensor-parallel-size 之积等于设备数"))
      ->check(in_range(1, 1024))
      ->type_name("P")
      ->group(group);
  app.add_option("--tensor-parallel-size",
                 options.request.tensor_size,
                 say("devices that share each layer of a stage", "每级中共同分担每一层的设备数"))
      ->check(in_range(1, 1024))
      ->type_name("T")
      ->group(group);
  app.add_option("--data-parallel-size",
                 options.num_replicas,
                 say("whole copies of the model, each on its part of the devices; requests go to "
                     "the one that\n"
                     "knows most of their prompt or has least to do. Divides the number of devices",
                     "模型的完整副本数，每个副本占用一部分设备；请求发给已缓存其提示最多、"
                     "或最空闲的副本。须整除设备数"))
      ->check(in_range(1, 1024))
      ->type_name("D")
      ->group(group);
  app.add_option_function<std::string>(
         "--rank-mode",
         [](const std::string& value) {
           if (value == "process")
             throw CLI::ValidationError(
                 "--rank-mode",
                 say("process: a process for each device comes in a later version; thread, the "
                     "default, is what there is",
                     "process：每个设备一个进程将在以后的版本提供；目前只有默认的 thread"));
         },
         say("what drives a device: a thread of this process (process: not built yet)",
             "由什么驱动一个设备：本进程的一个线程（process 尚未实现）"))
      ->check(one_of({"thread", "process"}))
      ->type_name("thread|process")
      ->default_str("thread")
      ->group(group);
  app.add_option(
         "--num-streams",
         options.workload.num_streams,
         say("requests at once that speed is planned for", "按多少个同时进行的请求来规划速度"))
      ->check(in_range(std::int64_t{1}, std::int64_t{1} << 16))
      ->type_name("N")
      ->capture_default_str()
      ->group(group);
}

namespace {

/// "4 copies, each layer".
std::string with_copies(int num_replicas, const std::string& mode) {
  if (num_replicas == 1) return mode;
  return say_with("{} copies (--data-parallel-size {}), each {}",
                  "{} 个副本（--data-parallel-size {}），每个 {}",
                  num_replicas,
                  num_replicas,
                  mode);
}

}  // namespace

std::string mode_name(ParallelMode mode, int pipeline_size, int tensor_size) {
  if (mode == ParallelMode::pipeline && tensor_size > 1)
    return fmt::format("pipeline {} x tensor {}", pipeline_size, tensor_size);
  if (mode == ParallelMode::layer && tensor_size > 1)
    return fmt::format("layer {} x tensor {}", pipeline_size, tensor_size);
  return std::string(parallel::to_string(mode));
}

std::string mode_name(const parallel::ReplicaPlan& planned) {
  const parallel::Plan& plan = planned.replicas.front().plan;
  return with_copies(
      static_cast<int>(planned.replicas.size()),
      mode_name(plan.mode, static_cast<int>(plan.placement.stages.size()), plan.tensor_size));
}

std::string choice_text(const parallel::ReplicaPlan& planned, const parallel::Workload& workload) {
  const parallel::Plan& plan = planned.replicas.front().plan;
  if (plan.considered.size() < 2 && planned.considered.size() < 2) return {};
  const auto num_replicas = static_cast<int>(planned.replicas.size());
  std::vector<std::string> others;
  bool near_tie = false;
  for (const parallel::ReplicaEstimate& copies : planned.considered) {
    if (copies.num_replicas == num_replicas) continue;
    near_tie = near_tie || (copies.fits && copies.estimated_s < plan.speed.estimated_s);
    const std::string name = copies.num_replicas == 1
                                 ? say("one copy", "单个副本")
                                 : say_with("{} copies", "{} 个副本", copies.num_replicas);
    others.push_back(copies.fits
                         ? say_with("{}: {:.3g} s", "{}：{:.3g} 秒", name, copies.estimated_s)
                         : say_with("{}: does not fit", "{}：放不下", name));
  }
  for (const parallel::ModeEstimate& mode : plan.considered) {
    if (mode.fits && mode.estimated_s == plan.speed.estimated_s && mode.mode == plan.mode) continue;
    near_tie = near_tie || (mode.fits && mode.estimated_s < plan.speed.estimated_s);
    const std::string name = mode_name(mode.mode, mode.pipeline_size, mode.tensor_size);
    others.push_back(mode.fits ? say_with("{}: {:.3g} s", "{}：{:.3g} 秒", name, mode.estimated_s)
                               : say_with("{}: does not fit", "{}：放不下", name));
  }
  std::string out = say_with(
      near_tie
          ? "--parallel auto: {}, among the fastest for {} stream(s) of {} + {} tokens: {:.3g} "
            "s estimated; {}"
          : "--parallel auto: {}, estimated fastest for {} stream(s) of {} + {} tokens: {:.3g} "
            "s; {}",
      near_tie ? "--parallel auto：选择 {}，对 {} 个请求（{} + {} token）属于最快之列：估计 {:.3g} "
                 "秒；{}"
               : "--parallel auto：选择 {}，对 {} 个请求（{} + {} token）估计最快：{:.3g} 秒；{}",
      // Copies that were asked for are no choice.
      planned.considered.size() < 2 && num_replicas > 1
          ? say_with(
                "{} in each of the {} copies asked for",
                "{}（在指定的 {} 个副本中各自）",
                mode_name(
                    plan.mode, static_cast<int>(plan.placement.stages.size()), plan.tensor_size),
                num_replicas)
          : mode_name(planned),
      workload.num_streams,
      workload.prompt_len,
      workload.gen_len,
      plan.speed.estimated_s,
      fmt::join(others, text(", ", "，")));
  if (near_tie)
    out += say_with(". Estimates within {:.0f} % count as equal, and the simpler way is taken.",
                    "。估计值相差不到 {:.0f} % 视为相同，取较简单的方式。",
                    100 * (parallel::kNearTie - 1));
  return out + "\n";
}

}  // namespace fastchat::serve
