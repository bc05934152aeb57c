#include "brain/control/executions.h"

#include <algorithm>

#include "brain/control/answers.h"
#include "brain/control/queues.h"
#include "brain/sched/parts.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

LatencyBounds predict(const Execution& e, int width) {
  LatencyBounds sum{};
  for (const StartPart& part : e.parts) {
    LatencyBounds time = program_of(e.bucket->programs, part).latency.at(width);
    sum = {sum.p50 + time.p50, sum.p99 + time.p99};
  }
  return sum;
}

// By what was learnt of its time: a step is as much longer than predicted as the whole.
Nanos longest_step(const Execution& e, int width) {
  Nanos longest;
  for (const StartPart& part : e.parts) {
    const Program& program = program_of(e.bucket->programs, part);
    const std::vector<Nanos>& steps = program.features.longest_step;
    if (steps.empty()) continue;
    Nanos step = steps[std::min(static_cast<size_t>(width), steps.size()) - 1];
    double late = static_cast<double>(program.latency.at(width).p50.value) /
                  static_cast<double>(program.latency.predicted(width).value);
    longest = std::max(longest, Nanos(static_cast<int64_t>(static_cast<double>(step.value) * late)));
  }
  return longest;
}

// For its present width.
void set_predictions(Execution& e) {
  e.predicted = predict(e, e.cores.size());
  e.longest_step = longest_step(e, e.cores.size());
}

void set_bound(Domain& d, Execution& e, Nanos at) { move_key(d.bounds, e.bound_at, at, e.id); }

Nanos bound_from_now(const Domain& d, const Execution& e) {
  return d.now + e.predicted.p50 * d.options.lateness_factor + d.options.lateness_slack;
}

void refresh_stuck(Domain& d) {
  d.stuck = CoreSet();
  for (const auto& [id, e] : d.executions)
    if (e.stuck) d.stuck = d.stuck | e.cores;
}

// The device has reported: everything it held is free.
void release(Domain& d, Execution& e) {
  Bucket& bucket = *e.bucket;
  set_bound(d, e, kNever);
  d.free = d.free | e.cores;
  d.budget.release(e.arena);
  --bucket.executions;
  --bucket.instance->running;
  bool was_stuck = e.stuck;
  d.executions.erase(e.id);
  if (was_stuck) refresh_stuck(d);
}

void learn(Execution& e, Nanos busy, Nanos now) {
  // A run cannot have been busy for longer than it had its cores: such a measurement is wrong.
  if (e.disturbed || busy <= Nanos(0) || busy > e.elapsed(now)) return;
  int width = e.cores.size();
  // The bucket is the loop's own; program_of only looks.
  auto program = [&](const StartPart& part) -> Program& {
    return const_cast<Program&>(program_of(e.bucket->programs, part));
  };
  Nanos predicted;
  for (const StartPart& part : e.parts) predicted += program(part).latency.predicted(width);
  for (const StartPart& part : e.parts) {
    ProgramLatency& latency = program(part).latency;
    // Each part is taken to have had its predicted share of the time.
    double share = static_cast<double>(latency.predicted(width).value) / static_cast<double>(predicted.value);
    latency.observe(width,
                    e.parts.size() == 1 ? busy : Nanos(static_cast<int64_t>(share * static_cast<double>(busy.value))));
  }
}

void fail_queries(Domain& d, Execution& e, const Error& error) {
  for (size_t i = 0; i < e.queries.size(); ++i)
    if (e.queries[i] != nullptr) reply_error(d, *e.queries[i], error);
}

Execution* find(Domain& d, ExecutionId id) {
  auto at = d.executions.find(id);
  return at == d.executions.end() ? nullptr : &at->second;
}

Execution& get(Domain& d, ExecutionId id) {
  Execution* e = find(d, id);
  MOTET_CHECK(e != nullptr, "a decision names an execution that exists");
  return *e;
}

void take_cores(Domain& d, Execution& e, const CoreSet& cores) {
  MOTET_CHECK(!cores.empty() && d.free.includes(cores), "an execution gets free cores");
  MOTET_CHECK(e.bucket->instance->share.includes(cores), "an execution gets cores of its share");
  d.free = d.free - cores;
  e.cores = cores;
  e.resumed_at = d.now;
}

}  // namespace

void start(Domain& d, const StartBatch& decision) {
  // The view was const; the objects are the loop's own.
  Bucket& bucket = *const_cast<Bucket*>(decision.bucket);
  MOTET_CHECK(bucket.phase == BucketPhase::kReady && !decision.queries.empty(),
              "a batch of a ready bucket has queries");
  ExecutionId id(++d.last_execution);
  Execution& e = d.executions[id];
  e.id = id;
  e.bucket = &bucket;
  e.parts = decision.parts;
  Start action{id, bucket.instance->id, bucket.id, {}, decision.parts, decision.cores};
  action.queries.reserve(decision.queries.size());
  e.queries.reserve(decision.queries.size());
  int64_t rows = 0;
  for (const Query* chosen : decision.queries) {
    Query& q = *const_cast<Query*>(chosen);
    MOTET_CHECK(q.bucket == &bucket && q.execution == nullptr && !q.decided,
                "a batch is of queries that wait in its bucket");
    unqueue(d, q);
    q.execution = &e;
    e.queries.push_back(&q);
    e.due = std::min(e.due, q.due);
    e.deadline = std::min(e.deadline, q.deadline);
    rows += q.rows;
    action.queries.push_back(q.id);
  }
  e.live = static_cast<int>(e.queries.size());
  const bool batched = bucket.instance->settings.max_batch > 0;
  for (const StartPart& part : e.parts) {
    const Program& p = program_of(bucket.programs, part);
    MOTET_CHECK(part.rows >= 1 && (!batched || part.rows <= part.batch),
                "a part has rows, and no more than its program");
    e.arena = std::max(e.arena, p.features.arena);
    rows -= part.rows;
  }
  MOTET_CHECK(rows == 0, "the parts of a batch take its rows");
  d.budget.charge(e.arena);
  take_cores(d, e, decision.cores);
  set_predictions(e);
  set_bound(d, e, bound_from_now(d, e));
  ++bucket.executions;
  ++bucket.instance->running;
  bucket.last_used = ++d.last_use;
  bucket.last_started = d.now;
  d.actions.push_back(std::move(action));
}

void yield(Domain& d, ExecutionId id) {
  Execution& e = get(d, id);
  MOTET_CHECK(e.phase == ExecutionPhase::kRunning, "only a running execution yields");
  e.phase = ExecutionPhase::kYielding;
  e.disturbed = true;
  d.actions.push_back(Yield{id});
}

void resume(Domain& d, ExecutionId id, const CoreSet& cores) {
  Execution& e = get(d, id);
  MOTET_CHECK(e.phase == ExecutionPhase::kPaused, "only a paused execution resumes");
  take_cores(d, e, cores);
  LatencyBounds before = e.predicted;
  set_predictions(e);
  // What it has done counts at the new width's pace.
  if (before.p50 > Nanos(0)) {
    double done = std::min(1.0, static_cast<double>(e.ran.value) / static_cast<double>(before.p50.value));
    e.ran = Nanos(static_cast<int64_t>(done * static_cast<double>(e.predicted.p50.value)));
  }
  e.phase = ExecutionPhase::kRunning;
  set_bound(d, e, bound_from_now(d, e));
  d.actions.push_back(Resume{id, cores});
}

void resize(Domain& d, ExecutionId id, const CoreSet& cores) {
  Execution& e = get(d, id);
  MOTET_CHECK(e.phase == ExecutionPhase::kRunning, "only a running execution is resized");
  MOTET_CHECK(cores.includes(e.cores), "a resize grows: cores leave only by a pause, which the device reports");
  e.ran = e.elapsed(d.now);
  CoreSet held = e.cores;
  MOTET_CHECK((d.free | held).includes(cores), "an execution gets free cores");
  d.free = d.free | held;
  take_cores(d, e, cores);
  set_predictions(e);
  e.disturbed = true;
  d.actions.push_back(Resize{id, cores});
}

void kill(Domain& d, Execution& e) {
  if (e.phase == ExecutionPhase::kDying) return;
  e.phase = ExecutionPhase::kDying;
  set_bound(d, e, bound_from_now(d, e));
  d.actions.push_back(Kill{e.id});
}

void kill_for(Domain& d, ExecutionId id, const Error& error) {
  Execution& e = get(d, id);
  fail_queries(d, e, error);
  kill(d, e);
}

void on_progress(Domain& d, const Progress& event) {
  Execution* e = find(d, event.execution);
  if (e == nullptr || !event.paused || e->phase != ExecutionPhase::kYielding) return;
  if (event.steps_done <= e->steps_at_pause) {
    // Either a repetition of its last pause or a pause without a step between: to let it run on is right in both cases.
    e->phase = ExecutionPhase::kRunning;
    e->resumed_at = d.now;
    d.actions.push_back(Resume{e->id, e->cores});
    return;
  }
  e->steps_at_pause = event.steps_done;
  e->ran = e->elapsed(d.now);
  d.free = d.free | e->cores;
  e->cores = CoreSet();
  e->phase = ExecutionPhase::kPaused;
  set_bound(d, *e, kNever);
}

void on_finished(Domain& d, const Finished& event) {
  Execution* e = find(d, event.execution);
  if (e == nullptr) return;
  if (e->phase != ExecutionPhase::kDying && !e->cores.empty()) learn(*e, event.busy, d.now);
  for (size_t i = 0; i < e->queries.size(); ++i)
    if (e->queries[i] != nullptr) reply_ok(d, *e->queries[i], e->id);
  release(d, *e);
}

void on_execution_failed(Domain& d, ExecutionId id, const Error& error) {
  Execution* e = find(d, id);
  if (e == nullptr) return;
  fail_queries(d, *e, error);
  release(d, *e);
}

void expire_executions(Domain& d) {
  bool newly_stuck = false;
  while (!d.bounds.empty() && d.bounds.begin()->first <= d.now) {
    Execution& e = d.executions.at(d.bounds.begin()->second);
    if (e.phase == ExecutionPhase::kDying) {
      set_bound(d, e, kNever);
      e.stuck = newly_stuck = true;
      continue;
    }
    kill_for(d, e.id,
             internal_error(model_text(*e.bucket->instance) + ": execution " + std::to_string(e.id.value) +
                            " has not come to its end " + duration_text(d.now - e.resumed_at) +
                            " after it was started; " + duration_text(e.predicted.p50) + " were predicted and " +
                            duration_text(e.bound_at - e.resumed_at) + " allowed"));
  }
  if (!newly_stuck) return;
  refresh_stuck(d);
  for (auto& [id, e] : d.executions) {
    if (e.phase != ExecutionPhase::kPaused) continue;
    if (auto error = stuck_error(d, *e.bucket->instance)) kill_for(d, id, *error);
  }
  for (auto& [id, instance] : d.instances) {
    if (instance.queued == 0) continue;
    auto error = stuck_error(d, instance);
    if (!error) continue;
    for (auto& [bucket_id, bucket] : instance.buckets)
      while (bucket.queue.oldest != nullptr) reply_error(d, *bucket.queue.oldest, *error);
  }
}

std::optional<Error> stuck_error(const Domain& d, const Instance& instance) {
  if (d.stuck.empty() || !d.stuck.includes(instance.share)) return std::nullopt;
  return unavailable(model_text(instance) + ": every core it may use (" + instance.share.to_string() +
                     ") is held by an execution that was stopped and has not ended; accepted when one ends");
}

}  // namespace motet::brain
