// A model ready to answer: devices, plan, loaded stages, engine, tokenizer and chat template, built
// from ModelOptions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/model_config.h"
#include "parallel/planner.h"
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

  engine::Engine& engine();
  const parallel::Plan& plan() const;
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
