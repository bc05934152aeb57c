// ProgramLatency: how long one compiled program takes at each width. It begins with the times predicted at compile time
// and corrects them by what is measured: per width, the ratio measured / predicted, as a running mean with its mean
// deviation (Jacobson, "Congestion Avoidance and Control", 1988) and a running 99th percentile (Robbins and Monro,
// 1951). Integers only, so equal measurements give equal bounds on every machine. Plain value; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/units.h"

namespace motet::brain {

struct LatencyBounds {
  Nanos p50;
  Nanos p99;  // >= p50
};

// measured / predicted, in 1/65536.
class RatioEstimate {
 public:
  static constexpr int64_t kOne = 1 << 16;

  void observe(int64_t ratio);
  int64_t typical() const { return typical_; }
  int64_t high() const { return high_; }
  int64_t samples() const { return samples_; }

 private:
  int64_t samples_ = 0;
  int64_t typical_ = kOne;
  int64_t deviation_ = kOne / 4;
  int64_t high_ = kOne + kOne / 2;  // before the first measurement a prediction is believed to within a half
};

class ProgramLatency {
 public:
  // predicted[w-1] at width w; may be empty or hold zeros (nothing is known: a microsecond, until something is
  // measured).
  explicit ProgramLatency(std::vector<Nanos> predicted);

  // REQUIRES: width >= 1. A width beyond the table is taken as its widest.
  LatencyBounds at(int width) const;
  // The uncorrected prediction, never below a microsecond.
  Nanos predicted(int width) const { return predicted_[column(width)]; }
  // What a run at `width` took; a time that is not positive is not a measurement.
  void observe(int width, Nanos measured);
  int64_t samples(int width) const { return by_width_[column(width)].samples(); }

 private:
  size_t column(int width) const;

  std::vector<Nanos> predicted_;         // never empty
  std::vector<RatioEstimate> by_width_;  // as long
  RatioEstimate any_width_;              // stands in for a width that has hardly been measured
};

}  // namespace motet::brain
