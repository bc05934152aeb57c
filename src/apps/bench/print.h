// A load Report as a table and as JSON. Pure.
#pragma once

#include <optional>
#include <string>

#include "apps/bench/server_side.h"
#include "body/load/report.h"

namespace motet::bench {

// What the numbers are: for the line above the table and for the JSON.
struct Conditions {
  std::string url;
  std::string protocol;
  std::string arrivals;  // "poisson", "constant", "trace:FILE", "closed loop of N"
  std::string cpu;       // of the machine that generated the load
  uint64_t seed = 0;
  int64_t batch = 1;
  bool latencies = false;                // each one, in the JSON
  std::optional<ServerCounters> server;  // what the server counted during the run
};

std::string report_table(const load::Report& report, const Conditions& conditions);
std::string report_json(const load::Report& report, const Conditions& conditions);

}  // namespace motet::bench
