#include "brain/sched/edf/edf.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "base/check.h"
#include "brain/sched/batch.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

constexpr Nanos kQuantum = EdfDispatcher::kQuantum;

// Time on cores still to come. One that has outrun its bound is expected to need half as long again as it has had.
Nanos remaining(const Execution& e, Nanos now, Nanos predicted) {
  Nanos elapsed = e.elapsed(now);
  if (elapsed > e.predicted.p99) return elapsed / 2;
  return std::max(Nanos(0), predicted - elapsed);
}

// How long a running execution may take to give its cores up.
Nanos until_yielded(const Execution& e, Nanos now) {
  return std::min(e.longest_step, remaining(e, now, e.predicted.p50));
}

bool on_share(const Execution& e, const Instance& instance) { return e.cores.intersects(instance.share); }

// When a core of a share could be had.
struct Outlook {
  // What runs there and may have to give way.
  struct Running {
    Nanos due;
    Nanos yields_at;
  };
  Nanos earliest = kNever;  // by the end of what runs there
  std::vector<Running> running;

  // For a query that is due then: what is due later yields to it. `now` where nothing holds the share for long.
  Nanos start(Nanos due, Nanos now) const {
    Nanos first = earliest;
    for (const Running& r : running)
      if (due < r.due) first = std::min(first, r.yields_at);
    return first == kNever ? now : std::max(now, first);
  }
};

Outlook outlook(const DispatchView& view, const Instance& instance) {
  Outlook o;
  if (view.free.intersects(instance.share)) o.earliest = view.now;
  for (const auto& [id, e] : view.executions) {
    if (!on_share(e, instance)) continue;
    bool running = e.phase == ExecutionPhase::kRunning;
    // One that was asked to pause, or to die, does so at its step's end.
    Nanos free_at = view.now + (running ? remaining(e, view.now, e.predicted.p50) : until_yielded(e, view.now));
    o.earliest = std::min(o.earliest, free_at);
    if (running) o.running.push_back({e.due, view.now + until_yielded(e, view.now)});
  }
  return o;
}

Error unreachable_error(const Query& q, Nanos now, Nanos start, Nanos time) {
  const Bucket& bucket = *q.bucket;
  return unavailable("model " + bucket.instance->settings.name +
                     ": the deadline cannot be met: " + duration_text(time) + " are predicted" +
                     (start > now ? " from " + duration_text(start - now) + " on" : "") + ", " +
                     duration_text(q.deadline - now) + " are left, " + std::to_string(bucket.queue.queries) +
                     " queries are queued; accepted with " + duration_text(start - now + time) + " or more left");
}

// A shape that nothing has been learnt about for long, and a core to try it on.
bool worth_a_try(const DispatchView& view, const Bucket& bucket) {
  return bucket.executions == 0 && view.now - bucket.last_started >= EdfDispatcher::kProbe &&
         view.free.intersects(bucket.instance->share);
}

// The first query that cannot meet its deadline; else lowers `wake` to the next instant at which one may turn so.
std::optional<ShedQuery> find_unreachable(const DispatchView& view, Nanos& wake) {
  const Instance* known_for = nullptr;
  Outlook ahead;
  for (const auto& [key, bucket] : view.ready) {
    const Instance& instance = *bucket->instance;
    if (worth_a_try(view, *bucket)) continue;
    for (const auto& [number, level] : bucket->queue.levels) {
      if (level.timed.empty()) continue;
      const Query& q = **level.timed.begin();
      LatencyBounds bounds = rows_time(*bucket, q.rows, instance.share.size());
      // A deadline that was nearer than the careful time from the start is judged by the median: it has a chance.
      Nanos time = careful_time(instance, bounds);
      if (q.deadline - q.arrived_at < time) time = bounds.p50;
      if (known_for == nullptr || known_for->share != instance.share) {
        ahead = outlook(view, instance);
        known_for = &instance;
      }
      Nanos start = ahead.start(q.due, view.now);
      if (start + time > q.deadline) {
        return ShedQuery{&q, ShedReason::kDeadlineUnreachable, unreachable_error(q, view.now, start, time)};
      }
      wake = std::min(wake, q.deadline - time + Nanos(1));
    }
  }
  return std::nullopt;
}

// The highest cores first: the loop and the front ends share core 0.
CoreSet highest(const CoreSet& from, int count) {
  CoreSet chosen;
  int skip = from.size() - count, seen = 0;
  for (int core = from.next(0); core >= 0; core = from.next(core + 1))
    if (seen++ >= skip) chosen.add(core);
  return chosen;
}

// How many executions could use free cores now, counted up to `most`.
int contenders(const DispatchView& view, int most) {
  int count = 0;
  for (const auto& [id, e] : view.executions) count += e.phase == ExecutionPhase::kPaused ? 1 : 0;
  for (auto at = view.ready.begin(); at != view.ready.end() && count < most; ++at) {
    const Bucket& bucket = *at->second;
    if (!view.free.intersects(bucket.instance->share)) continue;
    int64_t per_batch = bucket.instance->settings.dynamic_batching ? bucket.instance->batch_limit() : 1;
    int64_t batches = bucket.instance->settings.dynamic_batching ? (bucket.queue.rows + per_batch - 1) / per_batch
                                                                 : bucket.queue.queries;
    count += static_cast<int>(std::min<int64_t>(batches, most));
  }
  return std::clamp(count, 1, most);
}

// The fewest cores, of at most `width`, that are not more than 5 % slower.
template <class Time>
int narrowest(int width, Time&& p50_at) {
  int64_t limit = p50_at(width).value / 20 * 21;
  int w = 1;
  while (w < width && p50_at(w).value > limit) ++w;
  return w;
}

struct Attempt {
  std::optional<StartBatch> start;
  std::optional<ShedQuery> shed;
  bool no_memory = false;
};

bool anything_alive(const DispatchView& view) {
  return std::any_of(view.executions.begin(), view.executions.end(), [](const auto& e) { return !e.second.stuck; });
}

// The head of a queue alone, in parts of programs that are small enough for the memory there is.
std::optional<StartBatch> in_smaller_parts(const DispatchView& view, const Bucket& bucket, const CoreSet& cores) {
  const ModelSettings& settings = bucket.instance->settings;
  const Query* head = nullptr;
  bucket.queue.in_order(view.now, [&](const Query& q) {
    head = &q;
    return false;
  });
  const std::span<const Program> programs = bucket.programs;
  for (size_t smaller = programs.size() - 1; smaller > 0; --smaller) {
    PartsPlan plan =
        plan_parts(programs.first(smaller), head->rows, cores.size(), settings.max_batch > 0, settings.allow_padding);
    if (!plan.parts.empty() && plan.arena <= view.memory_left)
      return StartBatch{&bucket, {head}, std::move(plan.parts), cores};
  }
  return std::nullopt;
}

Attempt attempt(const DispatchView& view, const Bucket& bucket, const CoreSet& usable, Nanos& wake) {
  const Instance& instance = *bucket.instance;
  const Query& head = *bucket.queue.most_due();
  int most = usable.size(), width = most / contenders(view, most);
  while (width < most && view.now + careful_time(instance, rows_time(bucket, head.rows, width)) > head.deadline)
    ++width;
  BatchOffer offer = offer_batch(view, bucket, width);
  Attempt result;
  switch (offer.kind) {
    case BatchOffer::Kind::kWait: wake = std::min(wake, offer.until); break;
    case BatchOffer::Kind::kStart: {
      int rows = 0;
      for (const Query* q : offer.queries) rows += q->rows;
      width = narrowest(width, [&](int w) { return rows_time(bucket, rows, w).p50; });
      result.start = StartBatch{&bucket, std::move(offer.queries), std::move(offer.plan.parts), highest(usable, width)};
      break;
    }
    case BatchOffer::Kind::kNoMemory:
      result.no_memory = true;
      // Nothing will give memory back by itself: the queue has to.
      if (!anything_alive(view)) {
        result.start = in_smaller_parts(view, bucket, highest(usable, width));
        if (result.start) break;
        result.shed = ShedQuery{
            &head, ShedReason::kOverBudget,
            resource_exhausted("model " + instance.settings.name + ": no memory for an execution of " +
                               std::to_string(head.rows) + " rows: " + std::to_string(view.memory_left.value) +
                               " bytes are left of the budget")};
      }
      break;
  }
  return result;
}

// A running execution that should give its cores to the most due query of `bucket`.
std::optional<YieldExecution> find_victim(const DispatchView& view, const Bucket& bucket, Nanos& wake) {
  const Instance& instance = *bucket.instance;
  const Query& q = *bucket.queue.most_due();
  if (!q.timed()) return std::nullopt;
  Nanos soonest_end = kNever;
  for (const auto& [id, e] : view.executions) {
    if (!on_share(e, instance)) continue;
    // Cores are coming already.
    if (e.phase == ExecutionPhase::kYielding || (e.phase == ExecutionPhase::kDying && !e.stuck)) return std::nullopt;
    if (e.phase == ExecutionPhase::kRunning) {
      soonest_end = std::min(soonest_end, view.now + remaining(e, view.now, e.predicted.p99));
    }
  }
  const Execution* victim = nullptr;
  for (const auto& [id, e] : view.executions) {
    if (e.phase != ExecutionPhase::kRunning || !on_share(e, instance) || e.due <= q.due) continue;
    PartsPlan plan = plan_parts(bucket.programs, q.rows, (e.cores & instance.share).size(),
                                instance.settings.max_batch > 0, instance.settings.allow_padding);
    Nanos time = careful_time(instance, plan.time);
    const Nanos yielding = std::max(kQuantum, until_yielded(e, view.now));
    if (soonest_end + time <= q.deadline) {
      Nanos last_chance = q.deadline - time - yielding;
      if (last_chance > view.now) wake = std::min(wake, last_chance);
      continue;
    }
    Nanos urgent_done = view.now + yielding + time;
    if (urgent_done > q.deadline || plan.arena > view.memory_left) continue;
    if (e.deadline != kNever && urgent_done + remaining(e, view.now, e.predicted.p99) > e.deadline) continue;
    if (remaining(e, view.now, e.predicted.p50) <= yielding) continue;
    if (view.now - e.resumed_at < kQuantum) {
      wake = std::min(wake, e.resumed_at + kQuantum);
      continue;
    }
    if (victim == nullptr || e.due > victim->due) victim = &e;
  }
  if (victim == nullptr) return std::nullopt;
  return YieldExecution{victim->id};
}

// The most due paused execution that free cores suit.
const Execution* resumable(const DispatchView& view) {
  const Execution* best = nullptr;
  for (const auto& [id, e] : view.executions) {
    if (e.phase != ExecutionPhase::kPaused || !view.free.intersects(e.bucket->instance->share)) continue;
    if (best == nullptr || e.due < best->due) best = &e;
  }
  return best;
}

ResumeExecution resume(const DispatchView& view, const Execution& e) {
  CoreSet usable = view.free & e.bucket->instance->share;
  int most = usable.size(), width = most / contenders(view, most);
  int rows = 0;
  for (const StartPart& part : e.parts) rows += part.rows;
  width = narrowest(width, [&](int w) { return rows_time(*e.bucket, rows, w).p50; });
  return {e.id, highest(usable, width)};
}

Nanos latest_running_due(const DispatchView& view) {
  Nanos latest(INT64_MIN);
  for (const auto& [id, e] : view.executions)
    if (e.phase == ExecutionPhase::kRunning) latest = std::max(latest, e.due);
  return latest;
}

}  // namespace

Promises EdfDispatcher::promises() const {
  return {.preemptive = true, .batching = true, .deadline_aware = true, .starvation_bound = kPatience};
}

Decision EdfDispatcher::next(const DispatchView& view, PolicyState&) const {
  Nanos wake = kNever;
  if (auto shed = find_unreachable(view, wake)) return std::move(*shed);
  const Execution* paused = resumable(view);
  const bool any_free = !view.free.empty();
  const Nanos preemptible = latest_running_due(view);
  for (const auto& [key, bucket] : view.ready) {
    if (paused != nullptr && paused->due <= key.first) return resume(view, *paused);
    if (!any_free && key.first >= preemptible) break;
    CoreSet usable = view.free & bucket->instance->share;
    if (usable.empty()) {
      if (auto victim = find_victim(view, *bucket, wake)) return *victim;
      continue;
    }
    Attempt result = attempt(view, *bucket, usable, wake);
    if (result.start) return std::move(*result.start);
    if (result.shed) return std::move(*result.shed);
    // One that is overdue for want of memory keeps others from taking what is given back.
    if (result.no_memory && key.first <= view.now) break;
  }
  if (paused != nullptr) return resume(view, *paused);
  return Wait{wake};
}

}  // namespace motet::brain
