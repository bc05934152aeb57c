// What a model version has done: the figures behind the statistics endpoint and /metrics. One writer (the loop's
// thread), any reader.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/observe/metrics.h"
#include "base/units.h"
#include "wire/api/api.h"

namespace motet::serve {

// Why a query failed, as Triton's `reason` label names it.
enum class FailureReason : uint8_t { kRejected, kCancelled, kBackend, kOther };

// One query's times, known when it is answered.
struct QueryTimes {
  Nanos total, queue, input, infer, output;
};

struct ModelCounters {
  ModelCounters(observe::Registry& registry, const std::string& model, int64_t version, bool has_slo);

  // `batch_rows`: of the execution that it was part of, which is counted by now.
  void query_ok(const QueryTimes& times, int rows, int batch_rows, bool within_slo);
  void query_failed(const QueryTimes& times, FailureReason reason, bool counts_against_slo);
  // To be told before any of its queries is answered: who has an answer finds it in the figures. `core_time`: time on
  // the cores times the cores held. The time to make its outputs is added as its queries are answered.
  void execution(int rows, int padded_rows, Nanos input, Nanos infer, Nanos core_time);
  // Queries that arrived, less those that started or were answered.
  void add_pending(int64_t queries) { pending.add(static_cast<double>(queries)); }
  api::ModelStatistics statistics() const;

  // Constant after construction.
  const std::string model;
  const int64_t version;
  const bool has_slo;

 private:
  // Triton's names.
  observe::Counter& request_success;
  observe::Counter& failure_rejected;
  observe::Counter& failure_cancelled;
  observe::Counter& failure_backend;
  observe::Counter& failure_other;
  observe::Counter& inference_count;
  observe::Counter& exec_count;
  observe::Gauge& pending;
  observe::Counter& request_duration_us;
  observe::Counter& queue_duration_us;
  observe::Counter& input_duration_us;
  observe::Counter& infer_duration_us;
  observe::Counter& output_duration_us;
  // Ours.
  observe::Histogram& completion_seconds;
  observe::Histogram& queue_seconds;
  observe::Histogram& execution_seconds;
  observe::Histogram& batch_rows;
  observe::Counter& padded_rows_total;
  observe::Counter& core_us_total;
  observe::Counter& slo_met;
  observe::Counter& slo_missed;

  mutable std::mutex mutex_;
  api::ModelStatistics totals_;                       // guarded by mutex_; without batches
  std::map<uint64_t, api::BatchStatistics> batches_;  // guarded by mutex_
};

}  // namespace motet::serve
