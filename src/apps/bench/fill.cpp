#include "apps/bench/fill.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

#include "apps/term/progress.h"

namespace motet::bench {
namespace {

constexpr Nanos kProbe = Nanos::from_millis(1000);
constexpr int kProbeConcurrency = 2;

// Poisson at `low_per_s`, but at `high_per_s` for `length` in the middle of `duration`.
Result<brain::ArrivalSpec> with_burst(double low_per_s, double high_per_s, Nanos length, Nanos duration, uint64_t seed,
                                      std::string_view stream) {
  MOTET_ASSIGN(auto arrivals,
               brain::Arrivals::create(brain::BurstArrivals{low_per_s, high_per_s, length, duration}, seed, stream));
  // BurstArrivals begins with its burst: turn the run so that it comes in the middle.
  Nanos shift = (duration - length) / 2;
  auto at = std::make_shared<std::vector<Nanos>>();
  for (auto next = arrivals.next_arrival(); next && *next < duration; next = arrivals.next_arrival()) {
    Nanos turned = *next + shift;
    at->push_back(turned < duration ? turned : turned - duration);
  }
  std::sort(at->begin(), at->end());
  return brain::ArrivalSpec(brain::TraceArrivals{std::move(at)});
}

}  // namespace

Result<BurstFlag> parse_burst_flag(std::string_view text) {
  Error error = invalid_argument("--burst '" + std::string(text) + "' must be SHARE:SECONDS, as in 1.5:3");
  size_t colon = text.find(':');
  if (colon == std::string_view::npos) return error;
  auto number = [](std::string_view part, double& value) {
    auto read = std::from_chars(part.data(), part.data() + part.size(), value);
    return read.ec == std::errc() && read.ptr == part.data() + part.size() && value > 0 && value < 1e6;
  };
  BurstFlag burst;
  double seconds = 0;
  if (!number(text.substr(0, colon), burst.share) || !number(text.substr(colon + 1), seconds)) return error;
  burst.length = Nanos(static_cast<int64_t>(seconds * 1e9));
  return burst;
}

Status fill_rates(client::Client& client, std::vector<load::Stream>& streams, double share,
                  const std::optional<BurstFlag>& burst, Nanos duration, uint64_t seed) {
  if (burst && burst->length >= duration)
    return invalid_argument("--burst is as long as --duration; it must be shorter");
  term::Progress progress("probe", static_cast<int64_t>(streams.size()));
  double each = 1.0 / static_cast<double>(streams.size());
  load::Options options;
  options.duration = kProbe;
  options.seed = seed;
  load::SteadyPacer pacer;
  for (load::Stream& stream : streams) {
    MOTET_ASSIGN(load::Report alone, load::run_closed_loop(client, {&stream, 1}, kProbeConcurrency, options, pacer));
    progress.advance();
    double capacity_per_s = alone.streams[0].served_per_s();
    if (capacity_per_s <= 0)
      return unavailable("model '" + stream.model +
                         "' answered nothing in its probe, so no rate fills a share of the machine");
    double rate = capacity_per_s * share * each;
    stream.arrivals = brain::PoissonArrivals{rate};
    if (burst) {
      MOTET_ASSIGN(stream.arrivals,
                   with_burst(rate, capacity_per_s * burst->share * each, burst->length, duration, seed, stream.model));
    }
  }
  return {};
}

}  // namespace motet::bench
