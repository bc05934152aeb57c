// What a run of the load generator saw: one StreamReport a model. Latency counts from the instant at which the schedule
// meant to send, so that a stalled server (or a late generator) cannot hide queueing. Plain values; a Recorder
// synchronises itself.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace motet::load {

struct StreamReport {
  std::string model;
  Nanos slo = kNever;
  int64_t rows_per_query = 1;
  uint64_t intended = 0;  // queries the schedule held
  uint64_t sent = 0;
  uint64_t served = 0;
  uint64_t shed = 0;             // answered kUnavailable: refused in time
  uint64_t failed = 0;           // any other error
  uint64_t unsent = 0;           // not sent: too many were open already
  uint64_t within_slo = 0;       // served within it; all served when there is none
  Nanos max_send_lag;            // how late the generator itself was, at worst
  Nanos span;                    // from the start to the last answer
  std::vector<Nanos> latencies;  // of the served, ascending
  // Of the failed and shed, by the first text of its kind; texts that differ only in numbers are one kind.
  std::map<std::string, uint64_t> errors;

  // Share of the intended queries that were served within the SLO; 1 when none was intended.
  double attainment() const;
  // The latency that a share q of the served did not exceed (nearest rank); 0 when none was.
  Nanos percentile(double q) const;
  Nanos mean() const;
  double served_per_s() const;
};

struct Report {
  std::vector<StreamReport> streams;
  Nanos duration;  // intended
  bool closed_loop = false;
};

// Collects one stream's answers. Any thread.
class Recorder {
 public:
  Recorder(std::string model, Nanos slo, int64_t rows_per_query);
  void intended();
  void unsent();
  void sent(Nanos lag);
  // `latency` from the intended send time, `at` since the start.
  void answered(const Status& status, Nanos latency, Nanos at);
  // Sorted and final.
  StreamReport finish();

 private:
  std::mutex mutex_;
  StreamReport report_;                       // guarded by mutex_
  std::map<std::string, std::string> kinds_;  // guarded by mutex_: text without numbers to the text that came first
};

}  // namespace motet::load
