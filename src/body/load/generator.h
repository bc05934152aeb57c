// The load generator over a KServe v2 client. Open loop: queries go out when the schedule says, whatever has become of
// the earlier ones. Closed loop: a fixed number is kept open, each answer sends the next. Both return when every query
// sent has been answered, which the client's transport timeout bounds. Call from one thread; the client's threads bring
// the answers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "body/load/pacer.h"
#include "body/load/report.h"
#include "brain/workload/arrivals.h"
#include "wire/client/client.h"

namespace motet::load {

// One model's traffic.
struct Stream {
  std::string model;
  brain::ArrivalSpec arrivals;            // open loop only
  Nanos slo = kNever;                     // from the intended send time
  std::vector<client::Request> requests;  // sent in turn; at least one
  int64_t rows_per_query = 1;
};

struct Options {
  Nanos duration = Nanos::from_seconds(10);
  uint64_t seed = 1;
  // A stalled server must not fill this machine: beyond these, a due query counts as unsent.
  uint64_t max_open = 4096;
  uint64_t max_open_bytes = uint64_t{1} << 30;     // of request tensors
  std::function<void(Nanos elapsed)> on_progress;  // a few times a second, on the calling thread
};

// An Error tells an arrival process that cannot be, or a stream without requests.
Result<Report> run_open_loop(client::Client& client, std::span<const Stream> streams, const Options& options,
                             Pacer& pacer);
// `concurrency` queries open for each stream.
Result<Report> run_closed_loop(client::Client& client, std::span<const Stream> streams, int concurrency,
                               const Options& options, Pacer& pacer);

}  // namespace motet::load
