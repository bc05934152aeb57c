#include "brain/predict/frequency.h"

#include <algorithm>

#include "base/math.h"

namespace motet::brain {

void Frequency::note(Nanos now) {
  count_ = per_s(now) * kMemory.seconds() + 1.0;
  at_ = std::max(at_, now);
}

double Frequency::per_s(Nanos now) const {
  if (count_ == 0) return 0;
  double age = now > at_ ? (now - at_).seconds() : 0;
  return count_ * stable_exp(-age / kMemory.seconds()) / kMemory.seconds();
}

}  // namespace motet::brain
