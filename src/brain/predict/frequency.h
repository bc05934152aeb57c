// Frequency: how often something happens as of late, from the instants at which it did. A plain value. One thread at a
// time.
#pragma once

#include "base/units.h"

namespace motet::brain {

// Each occurrence counts less the longer it is ago, e^-1 after kMemory: long enough that what happens once a second is
// told from what happens 1.2 times, short enough that what has stopped is out of the way within minutes.
class Frequency {
 public:
  static constexpr Nanos kMemory = Nanos::from_seconds(300);
  void note(Nanos now);
  double per_s(Nanos now) const;

 private:
  double count_ = 0;  // at `at_`
  Nanos at_;
};

}  // namespace motet::brain
