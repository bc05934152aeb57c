#include "brain/workload/arrivals.h"

#include "base/check.h"

namespace motet::brain {
namespace {

constexpr double kSecond = 1e9;
constexpr double kEndOfTime = 9e18;  // nanoseconds; beyond it an offset is no instant
constexpr double kGreatestRate = 1e9;

// `at` plus a gap in nanoseconds, or nothing beyond the end of time.
std::optional<Nanos> after(Nanos at, double gap_ns) {
  if (!(static_cast<double>(at.value) + gap_ns < kEndOfTime)) return std::nullopt;
  return at + Nanos(static_cast<int64_t>(gap_ns));
}

Status check_rate(double per_s, double least, const char* what) {
  if (per_s >= least && per_s <= kGreatestRate) return {};
  return invalid_argument(std::string(what) + " is " + std::to_string(per_s) +
                          " a second; more than 0 and at most 1e9 is accepted" + (least == 0 ? " (0 too)" : ""));
}

Status check(const PoissonArrivals& s) { return check_rate(s.per_s, 1e-9, "the rate"); }
Status check(const ConstantArrivals& s) { return check_rate(s.per_s, 1e-9, "the rate"); }
Status check(const BurstArrivals& s) {
  MOTET_RETURN_IF_ERROR(check_rate(s.low_per_s, 0, "the low rate"));
  MOTET_RETURN_IF_ERROR(check_rate(s.high_per_s, 0, "the high rate"));
  if (s.length < Nanos(0) || s.period <= Nanos(0) || s.length > s.period) {
    return invalid_argument("a burst of " + std::to_string(s.length.value) + " ns each " +
                            std::to_string(s.period.value) +
                            " ns; a length of 0 or more within a period above 0 is accepted");
  }
  bool ever = (s.high_per_s > 0 && s.length > Nanos(0)) || (s.low_per_s > 0 && s.length < s.period);
  if (!ever) return invalid_argument("bursts in which nothing ever arrives; one rate above 0 is needed");
  return {};
}
Status check(const TraceArrivals& s) {
  if (!s.at) return invalid_argument("a trace without instants");
  for (size_t i = 0; i < s.at->size(); ++i) {
    if ((*s.at)[i] < (i == 0 ? Nanos(0) : (*s.at)[i - 1])) {
      return invalid_argument("arrival " + std::to_string(i + 1) + " of the trace is at " +
                              std::to_string((*s.at)[i].value) +
                              " ns, before the one that precedes it; ascending offsets from 0 on are accepted");
    }
  }
  return {};
}

}  // namespace

Result<Arrivals> Arrivals::create(ArrivalSpec spec, uint64_t seed, std::string_view stream) {
  MOTET_RETURN_IF_ERROR(std::visit([](const auto& s) { return check(s); }, spec));
  return Arrivals(std::move(spec), seed, stream);
}

std::optional<Nanos> Arrivals::next_arrival() {
  std::optional<Nanos> at = std::visit([this](const auto& s) { return next(s); }, spec_);
  if (at) {
    MOTET_CHECK(*at >= last_, "arrivals do not go back");
    last_ = *at;
    ++count_;
  }
  return at;
}

std::optional<Nanos> Arrivals::next(const PoissonArrivals& s) {
  return after(last_, random_.exponential(kSecond / s.per_s));
}

std::optional<Nanos> Arrivals::next(const ConstantArrivals& s) {
  return after(Nanos(0), static_cast<double>(count_) * (kSecond / s.per_s));
}

// A piecewise constant rate: a gap is drawn as work of mean 1 and used up at the rate of the time it passes through.
std::optional<Nanos> Arrivals::next(const BurstArrivals& s) {
  double work = random_.exponential(1.0);
  Nanos at = last_;
  for (;;) {
    Nanos into(at.value % s.period.value);
    bool high = into < s.length;
    double per_ns = (high ? s.high_per_s : s.low_per_s) / kSecond;
    Nanos left = (high ? s.length : s.period) - into;
    double here = per_ns * static_cast<double>(left.value);
    if (work < here) return after(at, work / per_ns);
    work -= here;
    if (at.value > INT64_MAX - left.value) return std::nullopt;
    at += left;
  }
}

std::optional<Nanos> Arrivals::next(const TraceArrivals& s) {
  if (count_ >= s.at->size()) return std::nullopt;
  return (*s.at)[count_];
}

}  // namespace motet::brain
