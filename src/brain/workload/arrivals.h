// Arrival processes as values: when queries come. Poisson, constant, bursts and recorded traces, all pure and seeded,
// for the load generator and the simulator alike. Instants are offsets from the start of the run and never go back.
// Plain values; one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/units.h"

namespace motet::brain {

// Independent arrivals, `per_s` on average (exponential gaps).
struct PoissonArrivals {
  double per_s = 1;
};
// One each 1 / per_s, the first at once. Free of drift: the n-th is at n / per_s, rounded to the nanosecond.
struct ConstantArrivals {
  double per_s = 1;
};
// A period of `length` at `high_per_s`, then the rest of `period` at `low_per_s`; Poisson within each. A rate may be
// zero.
struct BurstArrivals {
  double low_per_s = 1;
  double high_per_s = 10;
  Nanos length = Nanos::from_seconds(1);
  Nanos period = Nanos::from_seconds(10);
};
// Recorded instants, ascending; shared, as a day of them is large.
struct TraceArrivals {
  std::shared_ptr<const std::vector<Nanos>> at;
};
using ArrivalSpec = std::variant<PoissonArrivals, ConstantArrivals, BurstArrivals, TraceArrivals>;

// One arrival offset in seconds a line ("12.75"), ascending; or CSV of counts: "second,count" a line, the count spread
// evenly over that second. Empty lines and lines that begin with '#' are passed over, and so is a CSV's heading. An
// Error names the line, its text, and what would be accepted.
Result<TraceArrivals> parse_trace(std::string_view text);

class Arrivals {
 public:
  // An Error names the number that cannot be a rate or a length. `stream` names the random stream.
  static Result<Arrivals> create(ArrivalSpec spec, uint64_t seed, std::string_view stream);
  // The next arrival's offset; nothing when a trace has ended, or when none is left before the end of time.
  std::optional<Nanos> next_arrival();

 private:
  Arrivals(ArrivalSpec spec, uint64_t seed, std::string_view stream) : spec_(std::move(spec)), random_(seed, stream) {}
  std::optional<Nanos> next(const PoissonArrivals& spec);
  std::optional<Nanos> next(const ConstantArrivals& spec);
  std::optional<Nanos> next(const BurstArrivals& spec);
  std::optional<Nanos> next(const TraceArrivals& spec);

  ArrivalSpec spec_;
  Random random_;
  Nanos last_;
  uint64_t count_ = 0;
};

}  // namespace motet::brain
