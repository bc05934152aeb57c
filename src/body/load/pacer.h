// A Clock that one can wait on: what the generator paces itself by, and what a test replaces by virtual time.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/clock.h"

namespace motet::load {

class Pacer : public Clock {
 public:
  // Returns at `at`, or a little later, never before. One thread.
  virtual void sleep_until(Nanos at) = 0;
  // Returns at `at`, or when `changed` is notified, or for no reason. REQUIRES: `lock` is held; it is when this
  // returns.
  virtual void wait_until(Nanos at, std::condition_variable& changed, std::unique_lock<std::mutex>& lock) = 0;
};

// The machine's monotonic clock. Asks the kernel for the sharpest wake-ups of the calling thread.
class SteadyPacer final : public Pacer {
 public:
  SteadyPacer();
  Nanos now() const override { return clock_.now(); }
  void sleep_until(Nanos at) override;
  void wait_until(Nanos at, std::condition_variable& changed, std::unique_lock<std::mutex>& lock) override;

 private:
  SteadyClock clock_;
};

}  // namespace motet::load
