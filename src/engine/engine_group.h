// Data parallelism: whole copies of a model behind one front.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"

namespace fastchat::engine {

/// Sends each request to one of several engines of the same model: to the one whose prefix cache
/// has most of its prompt, where that is worth waiting for, else to the one with least to do.
class EngineGroup final : public RequestQueue {
 public:
  /// `engines` are alike in everything but their devices, at least one.
  explicit EngineGroup(std::vector<std::unique_ptr<Engine>> engines);
  ~EngineGroup() override;

  /// An engine that is overloaded or has failed is passed over while another is not.
  Result<RequestId> submit(Request request) override;
  void cancel(RequestId id) override;
  /// Sums.
  EngineStats stats() const override;
  /// Of the first engine, but for the shortest max_model_len.
  const SchedulerConfig& config() const override;

  /// Of each engine.
  std::vector<EngineStats> engine_stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fastchat::engine
