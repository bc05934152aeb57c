// What the server says of a run: its /metrics page before and after. Batch sizes come from Triton's names (so any
// server that has them is read), core use from Motet's. One thread; the calls wait.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace motet::bench {

struct ServerCounters {
  struct Model {
    double rows = 0;        // nv_inference_count
    double executions = 0;  // nv_inference_exec_count
    double core_s = 0;      // motet_core_time_us_total
  };
  std::map<std::string, Model, std::less<>> models;
  double busy_s = 0;  // motet_core_busy_seconds, all cores
  int cores = 0;      // 0 where the server does not say
};

// Reads a page in Prometheus' text format; unknown lines are passed over.
ServerCounters parse_metrics(std::string_view page);
// GET of http://HOST:PORT/PATH. An Error names the URL and what failed.
Result<ServerCounters> fetch_metrics(const std::string& url);
// What came between the two.
ServerCounters difference(const ServerCounters& before, const ServerCounters& after);

}  // namespace motet::bench
