#include "engine/engine.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "engine/scheduler.h"

namespace fastchat::engine {
namespace {

struct Submission {
  RequestId id = 0;
  Request request;
};

}  // namespace

struct Engine::Impl {
  Impl(const SchedulerConfig& config, StepExecutor& step_executor)
      : executor(step_executor), scheduler(config, step_executor.max_outstanding()) {
    stats = scheduler.stats();
  }

  // ---- any thread ----

  Result<RequestId> submit(Request request) {
    if (Result<void> valid = scheduler.check(request); !valid) return valid.error();
    RequestId id = 0;
    {
      const std::lock_guard lock(mutex);
      if (stopping) return Error{ErrorCode::shutting_down, "the engine is shutting down"};
      if (!failure.empty())
        return Error{ErrorCode::device_failed, "the engine has failed: " + failure};
      const std::int64_t num_waiting =
          stats.num_waiting + static_cast<std::int64_t>(incoming.size());
      if (num_waiting >= scheduler.config().max_waiting)
        return Error{ErrorCode::overloaded,
                     fmt::format("{} requests are waiting already, at most {} may",
                                 num_waiting,
                                 scheduler.config().max_waiting)};
      id = ++last_id;
      incoming.push_back({.id = id, .request = std::move(request)});
    }
    wake.notify_one();
    return id;
  }

  void cancel(RequestId id) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      cancelled.push_back(id);
    }
    wake.notify_one();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_one();
    thread.join();
  }

  // ---- engine thread ----

  void run() {
    while (take_mail()) {
      try {
        if (failure.empty()) run_step();
      } catch (const std::exception& exception) {
        abandon(exception.what());
      }
    }
    scheduler.cancel_all();
    try {
      while (scheduler.num_outstanding() > 0) take_output();
    } catch (const std::exception& exception) {
      abandon(exception.what());
    }
    publish();
  }

  /// Sleeps until there is something to do, then hands the mail to the scheduler. False: stop.
  bool take_mail() {
    bool goes_on = true;
    {
      std::unique_lock lock(mutex);
      stats = scheduler.stats();
      wake.wait(lock, [&] {
        return stopping || !incoming.empty() || !cancelled.empty() || scheduler.has_work();
      });
      std::swap(incoming, taken);
      std::swap(cancelled, taken_cancelled);
      stats.num_waiting += static_cast<std::int64_t>(taken.size());
      goes_on = !stopping;
    }
    for (Submission& mail : taken) scheduler.add(mail.id, std::move(mail.request));
    for (const RequestId id : taken_cancelled) scheduler.cancel(id);
    taken.clear();
    taken_cancelled.clear();
    if (!failure.empty()) scheduler.abandon(failure);
    return goes_on;
  }

  /// Fills the pipeline, then takes the oldest step's output.
  void run_step() {
    while (!recovering && scheduler.num_outstanding() < scheduler.max_outstanding()) {
      StepInput input;
      if (!spare.empty()) {
        input = std::move(spare.back());
        spare.pop_back();
      }
      if (!scheduler.schedule(input)) {
        spare.push_back(std::move(input));
        break;
      }
      executor.submit(std::move(input));
    }
    publish();
    if (scheduler.num_outstanding() > 0) {
      take_output();
      return;
    }
    FASTCHAT_ASSERT(!scheduler.has_work(), "sequences are left, and none can be scheduled");
  }

  void take_output() {
    StepOutput output = executor.wait();
    // After a failed step nothing new is submitted until all outstanding steps are taken: with none
    // in flight the executor can recover its devices.
    if (!output.error.empty()) {
      log::error("step {} failed: {}", output.step_id, output.error);
      recovering = true;
    }
    scheduler.apply(output);
    if (scheduler.num_outstanding() == 0) recovering = false;
    spare.push_back(executor.recycle(std::move(output)));
  }

  /// An exception out of the executor: it runs no more steps, so nobody is kept waiting for one.
  void abandon(const std::string& error) {
    log::error("the step executor failed, no more requests are taken: {}", error);
    {
      const std::lock_guard lock(mutex);
      failure = error.empty() ? "unknown failure of the step executor" : error;
    }
    scheduler.abandon(failure);
  }

  void publish() {
    const std::lock_guard lock(mutex);
    stats = scheduler.stats();
  }

  StepExecutor& executor;
  Scheduler scheduler;  // engine thread, except check() and config()

  mutable std::mutex mutex;
  std::condition_variable wake;
  // Guarded by `mutex`.
  std::vector<Submission> incoming;
  std::vector<RequestId> cancelled;
  RequestId last_id = 0;
  bool stopping = false;
  std::string failure;  // written by the engine thread only, which so may read it without the lock
  EngineStats stats;

  // Engine thread.
  std::vector<Submission> taken;
  std::vector<RequestId> taken_cancelled;
  std::vector<StepInput> spare;
  bool recovering = false;

  std::thread thread;
};

Engine::Engine(const SchedulerConfig& config, StepExecutor& executor)
    : impl_(std::make_unique<Impl>(config, executor)) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Engine::~Engine() { impl_->stop(); }

Result<RequestId> Engine::submit(Request request) { return impl_->submit(std::move(request)); }

void Engine::cancel(RequestId id) { impl_->cancel(id); }

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  EngineStats stats = impl_->stats;
  stats.num_waiting += static_cast<std::int64_t>(impl_->incoming.size());
  return stats;
}

const SchedulerConfig& Engine::config() const { return impl_->scheduler.config(); }

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::none:
      return "";
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::error:
      return "error";
  }
  return "";
}

}  // namespace fastchat::engine
