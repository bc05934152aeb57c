// Filling a server: rates found by a short probe instead of given. Each model alone, closed-loop, shows how many
// queries a second it can answer; a share of the machine, divided evenly among the models, is then that share of each.
// One thread; the calls wait.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "body/load/generator.h"
#include "wire/client/client.h"

namespace motet::bench {

// SHARE:SECONDS: for so long, in the middle of the run, the rates fill SHARE of the machine instead.
struct BurstFlag {
  double share = 1.5;
  Nanos length = Nanos::from_seconds(3);
};
Result<BurstFlag> parse_burst_flag(std::string_view text);

// Sets the arrivals of every stream. An Error names a model that answered nothing during its probe.
Status fill_rates(client::Client& client, std::vector<load::Stream>& streams, double share,
                  const std::optional<BurstFlag>& burst, Nanos duration, uint64_t seed);

}  // namespace motet::bench
