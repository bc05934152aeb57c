#include "brain/control/admission.h"

#include <algorithm>

#include "brain/control/answers.h"
#include "brain/control/executions.h"
#include "brain/control/lifecycle.h"
#include "brain/control/memory.h"
#include "brain/control/queues.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

Error not_ready_error(const Instance& i) {
  std::string text = model_text(i) + " is " + std::string(lifecycle_name(i.state)) + "; accepted when it is ready";
  if (i.state == Lifecycle::kFailed) text = model_text(i) + " failed to load: " + i.reason.message;
  return unavailable(std::move(text));
}

std::optional<Error> invalid(const Instance& i, const Arrived& a) {
  const ModelSettings& s = i.settings;
  if (a.rows < 1 || (s.max_batch > 0 && a.rows > s.max_batch)) {
    return invalid_argument(model_text(i) + ": a request of " + std::to_string(a.rows) + " rows; 1 to " +
                            std::to_string(s.max_batch > 0 ? s.max_batch : INT32_MAX) + " are accepted");
  }
  if (a.bytes < Bytes(0)) {
    return invalid_argument(model_text(i) + ": a request of " + std::to_string(a.bytes.value) +
                            " bytes; 0 or more are accepted");
  }
  if (a.bucket == 0) return internal_error(model_text(i) + ": bucket 0 is the instance as a whole, not a shape");
  auto bucket = i.buckets.find(a.bucket);
  if (bucket == i.buckets.end() || bucket->second.phase != BucketPhase::kReady) return std::nullopt;
  return rows_error(bucket->second, a.rows);
}

// 0 is the most urgent. A priority beyond the levels is taken as the default, as Triton does.
int level_of(const ModelSettings& s, int priority) {
  if (s.priority_levels <= 0) return 0;
  int chosen = priority >= 1 && priority <= s.priority_levels ? priority : s.default_priority;
  return std::clamp(chosen, 1, s.priority_levels) - 1;
}

// `at` may lie before the clock's epoch, where at + kNever would be an instant.
Nanos from(Nanos at, Nanos length) { return length == kNever ? kNever : at + length; }

}  // namespace

void on_arrived(Domain& d, const Arrived& a) {
  if (d.queries.contains(a.query)) return;
  auto at = d.instances.find(a.instance);
  if (at == d.instances.end()) {
    refuse(d, a.query, ShedReason::kNotReady,
           unavailable("no model instance " + std::to_string(a.instance.value) + " is known"));
    return;
  }
  Instance& i = at->second;
  if (i.state != Lifecycle::kReady) return refuse(d, a.query, ShedReason::kNotReady, not_ready_error(i));
  if (auto error = invalid(i, a)) return refuse_invalid(d, a.query, std::move(*error));
  Nanos deadline = std::min(a.deadline, from(a.arrived_at, i.settings.slo));
  if (deadline <= d.now) {
    return refuse(d, a.query, ShedReason::kDeadlinePassed,
                  {Code::kDeadlineExceeded, model_text(i) + ": the deadline passed " + duration_text(d.now - deadline) +
                                                " before the request could be queued; it allowed " +
                                                duration_text(deadline - a.arrived_at) + " from arrival"});
  }
  if (i.settings.max_queue > 0 && i.queued >= i.settings.max_queue) {
    return refuse(d, a.query, ShedReason::kQueueFull,
                  unavailable(model_text(i) + ": its queue is full: " + std::to_string(i.queued) + " of at most " +
                              std::to_string(i.settings.max_queue) + " queries wait; accepted when one has started"));
  }
  if (i.settings.on_demand && deadline != kNever && loaded_by(d, i, a.bucket) >= deadline) {
    return refuse(d, a.query, ShedReason::kDeadlineUnreachable,
                  unavailable(model_text(i) + ": its programs are loaded when they are asked for, which took " +
                              duration_text(i.load_time) + " the last time, and " + duration_text(deadline - d.now) +
                              " are left; accepted with more, or when they are loaded"));
  }
  auto bucket = i.buckets.find(a.bucket);
  if (bucket == i.buckets.end() || bucket->second.phase == BucketPhase::kWanted)
    if (auto error = never_loads(d, i)) return refuse(d, a.query, ShedReason::kOverBudget, std::move(*error));
  if (!make_room(d, a.bytes, a.instance)) {
    return refuse(d, a.query, ShedReason::kOverBudget,
                  resource_exhausted(model_text(i) + ": a request of " + std::to_string(a.bytes.value) + " bytes; " +
                                     std::to_string(d.budget.left().value) + " of " +
                                     std::to_string(d.budget.limit().value) + " bytes are left"));
  }
  if (auto error = stuck_error(d, i)) return refuse_invalid(d, a.query, std::move(*error));
  d.budget.charge(a.bytes);
  Query& q = d.queries[a.query];
  q.id = a.query;
  q.sequence = ++d.last_sequence;
  q.bucket = &bucket_for(d, i, a.bucket);
  q.rows = a.rows;
  q.bytes = a.bytes;
  q.arrived_at = std::min(a.arrived_at, d.now);
  q.admitted_at = d.now;
  q.deadline = deadline;
  q.due = q.timed() ? deadline : from(q.arrived_at, d.patience);
  q.level = level_of(i.settings, a.priority);
  q.ordered = i.settings.preserve_ordering;
  if (q.ordered) d.ordered[i.id].emplace(q.sequence, std::pair<Query*, std::optional<Action>>(&q, std::nullopt));
  ++i.arrivals;
  i.asked.note(d.now);
  enqueue(d, q);
}

void on_cancelled(Domain& d, const Cancelled& event) {
  auto at = d.queries.find(event.query);
  if (at == d.queries.end() || at->second.decided) return;
  Query& q = at->second;
  Execution* e = q.execution;
  reply_cancelled(d, q);
  if (e != nullptr && e->live == 0) kill(d, *e);
}

}  // namespace motet::brain
