// Clock: where the time comes from, as an argument. The only implementation that asks the machine is SteadyClock below, and
// tools/layers allows its use only under apps/, body/serve, body/load, compute and wire: nothing under brain/ or
// body/sim has a real clock. now() may be called from any thread.
#pragma once

#include <chrono>

#include "base/units.h"

namespace motet {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since an epoch fixed for the life of the Clock; never runs backwards.
  virtual Nanos now() const = 0;
};

// The machine's monotonic clock.
class SteadyClock final : public Clock {
 public:
  Nanos now() const override {
    return Nanos(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
  }
};

}  // namespace motet
