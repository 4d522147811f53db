// A model ready to answer: devices, plan, loaded stages, engine, tokenizer and chat template, built
// from ModelOptions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model_runner.h"
#include "model/model_config.h"
#include "parallel/planner.h"
#include "parallel/replicas.h"
#include "serve/model_options.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace fastchat::serve {

/// The plan for `options`: reads config.json (or the shape), asks the platform for memory, never
/// loads weights. Throws Failure when config or devices are unusable; the planner's refusal comes
/// as Error.
struct PlannedModel {
  model::ModelConfig config;
  device::DType dtype = device::DType::f32;
  device::DeviceKind kind = device::DeviceKind::cpu;
  std::vector<int> devices;
  bool has_graphs = false;  // decode steps are to be recorded, where the device can
  parallel::PlanRequest request;
};
PlannedModel prepare_plan(const ModelOptions& options, device::Platform& platform);

/// Called while weights load: bytes done, bytes in all. Any thread, one at a time.
using LoadObserver = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

class ModelInstance {
 public:
  /// Plans, loads and starts. Throws Failure or OutOfMemory with one line for a person.
  ModelInstance(const ModelOptions& options, const LoadObserver& observer);
  ~ModelInstance();

  engine::RequestQueue& engine();
  /// Of a copy of the model.
  engine::ModelRunner& runner(std::size_t replica = 0);
  /// Of the first copy of the model; the others' are alike but for what their devices have free.
  const parallel::Plan& plan() const;
  const std::vector<parallel::Replica>& replicas() const;
  /// All copies, and what else was considered.
  const parallel::ReplicaPlan& replica_plan() const;
  const PlannedModel& planned() const;
  const model::ModelConfig& config() const;
  /// nullptr for --load-format dummy without a folder that has a tokenizer.
  const text::Tokenizer* tokenizer() const;
  /// nullptr when the folder has none.
  const text::ChatTemplate* chat_template() const;
  /// Last part of the model path: what people call the model.
  std::string name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastchat::serve
