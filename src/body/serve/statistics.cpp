#include "body/serve/statistics.h"

#include <chrono>

namespace motet::serve {
namespace {

uint64_t micros(Nanos n) { return n.value > 0 ? static_cast<uint64_t>(n.value / 1000) : 0; }

uint64_t nanos(Nanos n) { return n.value > 0 ? static_cast<uint64_t>(n.value) : 0; }

void add(api::StatLeaf& leaf, Nanos n) {
  ++leaf.count;
  leaf.ns += nanos(n);
}

observe::Labels labels_of(const std::string& model, int64_t version) {
  return {{"model", model}, {"version", std::to_string(version)}};
}

observe::Labels with_reason(observe::Labels labels, const char* reason) {
  labels.emplace_back("reason", reason);
  return labels;
}

uint64_t unix_ms() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

constexpr auto kFailureHelp = "Number of failed inference requests, by reason";

}  // namespace

ModelCounters::ModelCounters(observe::Registry& r, const std::string& name, int64_t number, bool slo)
    : model(name),
      version(number),
      has_slo(slo),
      request_success(r.counter("nv_inference_request_success", "Number of successful inference requests",
                                labels_of(name, number))),
      failure_rejected(
          r.counter("nv_inference_request_failure", kFailureHelp, with_reason(labels_of(name, number), "REJECTED"))),
      failure_cancelled(
          r.counter("nv_inference_request_failure", kFailureHelp, with_reason(labels_of(name, number), "CANCELED"))),
      failure_backend(
          r.counter("nv_inference_request_failure", kFailureHelp, with_reason(labels_of(name, number), "BACKEND"))),
      failure_other(
          r.counter("nv_inference_request_failure", kFailureHelp, with_reason(labels_of(name, number), "OTHER"))),
      inference_count(
          r.counter("nv_inference_count", "Number of inferences performed (rows)", labels_of(name, number))),
      exec_count(r.counter("nv_inference_exec_count", "Number of batches executed", labels_of(name, number))),
      pending(
          r.gauge("nv_inference_pending_request_count", "Requests that wait for execution", labels_of(name, number))),
      request_duration_us(r.counter("nv_inference_request_duration_us", "Cumulative request time, microseconds",
                                    labels_of(name, number))),
      queue_duration_us(r.counter("nv_inference_queue_duration_us", "Cumulative time in the queue, microseconds",
                                  labels_of(name, number))),
      input_duration_us(r.counter("nv_inference_compute_input_duration_us",
                                  "Cumulative time to gather inputs, microseconds", labels_of(name, number))),
      infer_duration_us(r.counter("nv_inference_compute_infer_duration_us",
                                  "Cumulative time on the cores, microseconds", labels_of(name, number))),
      output_duration_us(r.counter("nv_inference_compute_output_duration_us",
                                   "Cumulative time to make outputs, microseconds", labels_of(name, number))),
      completion_seconds(r.histogram("motet_completion_seconds", "From the first readable byte to the answer",
                                     labels_of(name, number), observe::latency_bounds_s())),
      queue_seconds(r.histogram("motet_queue_seconds", "From the first readable byte to the start on the cores",
                                labels_of(name, number), observe::latency_bounds_s())),
      execution_seconds(r.histogram("motet_execution_seconds", "Time of one batch on the cores",
                                    labels_of(name, number), observe::latency_bounds_s())),
      batch_rows(r.histogram("motet_batch_rows", "Rows in a batch", labels_of(name, number), observe::batch_bounds())),
      padded_rows_total(r.counter("motet_padded_rows_total", "Rows computed only to fill a compiled batch size",
                                  labels_of(name, number))),
      core_us_total(r.counter("motet_core_time_us_total", "Time on the cores times the cores held, microseconds",
                              labels_of(name, number))),
      slo_met(r.counter("motet_slo_met_total", "Queries answered within the model's SLO", labels_of(name, number))),
      slo_missed(r.counter("motet_slo_missed_total", "Queries shed, failed or answered after the model's SLO",
                           labels_of(name, number))) {
  totals_.name = name;
  totals_.version = std::to_string(number);
}

void ModelCounters::query_ok(const QueryTimes& t, int rows, int batch_rows, bool within_slo) {
  request_success.add();
  inference_count.add(static_cast<uint64_t>(rows));
  request_duration_us.add(micros(t.total));
  queue_duration_us.add(micros(t.queue));
  input_duration_us.add(micros(t.input));
  infer_duration_us.add(micros(t.infer));
  output_duration_us.add(micros(t.output));
  completion_seconds.observe(t.total.seconds());
  queue_seconds.observe(t.queue.seconds());
  if (has_slo) (within_slo ? slo_met : slo_missed).add();
  std::lock_guard lock(mutex_);
  totals_.last_inference_ms = unix_ms();
  totals_.inference_count += static_cast<uint64_t>(rows);
  add(totals_.success, t.total);
  add(totals_.queue, t.queue);
  add(totals_.compute_input, t.input);
  add(totals_.compute_infer, t.infer);
  add(totals_.compute_output, t.output);
  batches_[static_cast<uint64_t>(batch_rows)].compute_output.ns += nanos(t.output);
}

void ModelCounters::query_failed(const QueryTimes& t, FailureReason reason, bool counts_against_slo) {
  switch (reason) {
    case FailureReason::kRejected: failure_rejected.add(); break;
    case FailureReason::kCancelled: failure_cancelled.add(); break;
    case FailureReason::kBackend: failure_backend.add(); break;
    case FailureReason::kOther: failure_other.add(); break;
  }
  if (has_slo && counts_against_slo) slo_missed.add();
  std::lock_guard lock(mutex_);
  add(totals_.fail, t.total);
}

void ModelCounters::execution(int rows, int padded, Nanos input, Nanos infer, Nanos core_time) {
  core_us_total.add(micros(core_time));
  exec_count.add();
  execution_seconds.observe(infer.seconds());
  batch_rows.observe(rows);
  if (padded > 0) padded_rows_total.add(static_cast<uint64_t>(padded));
  std::lock_guard lock(mutex_);
  ++totals_.execution_count;
  api::BatchStatistics& batch = batches_[static_cast<uint64_t>(rows)];
  batch.batch_size = static_cast<uint64_t>(rows);
  add(batch.compute_input, input);
  add(batch.compute_infer, infer);
  ++batch.compute_output.count;
}

api::ModelStatistics ModelCounters::statistics() const {
  std::lock_guard lock(mutex_);
  api::ModelStatistics copy = totals_;
  for (const auto& [rows, batch] : batches_) copy.batches.push_back(batch);
  return copy;
}

}  // namespace motet::serve
