#include "http/moving_deadline.h"

#include <utility>

#include <boost/asio/steady_timer.hpp>

namespace fastchat::http {

struct MovingDeadline::State : std::enable_shared_from_this<State> {
  State(const boost::asio::any_io_executor& executor, std::function<void()> on_passed)
      : timer(executor), passed(std::move(on_passed)) {}

  void arm() {
    armed = deadline;
    timer.expires_at(deadline);
    timer.async_wait([state = shared_from_this(), number = ++armings](auto error) {
      // A wait that fired and was superseded before its handler ran has no error.
      if (!error && number == state->armings) state->fired();
    });
  }

  void fired() {
    armed = Clock::time_point::max();
    if (deadline == Clock::time_point::max()) return;
    if (deadline > Clock::now()) return arm();
    deadline = Clock::time_point::max();
    if (passed) passed();
  }

  boost::asio::steady_timer timer;
  std::function<void()> passed;
  Clock::time_point deadline = Clock::time_point::max();  // max: none
  Clock::time_point armed = Clock::time_point::max();     // what the timer waits for
  unsigned armings = 0;
};

MovingDeadline::MovingDeadline(const boost::asio::any_io_executor& executor,
                               std::function<void()> passed)
    : state_(std::make_shared<State>(executor, std::move(passed))) {}

MovingDeadline::~MovingDeadline() {
  state_->passed = nullptr;
  state_->timer.cancel();
}

void MovingDeadline::set(Clock::time_point deadline) {
  state_->deadline = deadline;
  if (deadline < state_->armed) state_->arm();
}

void MovingDeadline::clear() { state_->deadline = Clock::time_point::max(); }

}  // namespace fastchat::http
