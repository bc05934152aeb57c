#include "brain/sched/batch.h"

#include <algorithm>

#include "base/check.h"

namespace motet::brain {
namespace {

constexpr double kCarefulAttainment = 0.9;
// A batch that waits to grow starts this long before it would be too late.
constexpr Nanos kMargin = Nanos::from_millis(1);

bool preferred(const ModelSettings& settings, int64_t rows) {
  return std::find(settings.preferred_batches.begin(), settings.preferred_batches.end(), rows) !=
         settings.preferred_batches.end();
}

// The first `queries` of the gathered ones are a batch of `rows` that can run.
struct Prefix {
  size_t queries = 0;
  int rows = 0;
};

struct Gathered {
  std::vector<const Query*> queries;
  std::vector<Prefix> runnable;  // ascending
  Nanos deadline = kNever;       // least of the members
  bool full = false;             // nothing more would be taken, whatever comes
};

Gathered gather(const DispatchView& view, const Bucket& bucket, int width) {
  const Instance& instance = *bucket.instance;
  Gathered g;
  int64_t rows = 0;
  const int limit = instance.settings.dynamic_batching ? instance.batch_limit() : 0;
  bucket.queue.in_order(view.now, [&](const Query& q) {
    if (!g.queries.empty() && rows + q.rows > limit) {
      g.full = true;
      return false;
    }
    int total = static_cast<int>(rows) + q.rows;
    LatencyBounds time = rows_time(bucket, total, width);
    Nanos deadline = std::min(g.deadline, q.deadline);
    if (!g.queries.empty() && time.p50 != kNever && view.now + careful_time(instance, time) > deadline) {
      g.full = true;
      return false;
    }
    g.queries.push_back(&q);
    g.deadline = deadline;
    rows = total;
    if (time.p50 != kNever) g.runnable.push_back({g.queries.size(), total});
    if (rows >= limit) g.full = true;
    return rows < limit;
  });
  MOTET_CHECK(!g.runnable.empty() && g.runnable.front().queries == 1, "a queued query can run alone");
  return g;
}

// Until when a batch of `rows` may be held back; at or before `now`: not at all.
Nanos hold_until(const Bucket& bucket, int64_t rows, int width, Nanos deadline) {
  const Instance& instance = *bucket.instance;
  // A query that is due is not held back: it has waited to the end of the starvation bound.
  Nanos patience =
      std::min(bucket.queue.oldest->admitted_at + instance.settings.max_queue_delay, bucket.queue.most_due()->due);
  if (deadline == kNever) return patience;
  Nanos time = careful_time(instance, rows_time(bucket, static_cast<int>(rows), width));
  return std::min(patience, deadline - time - kMargin);
}

}  // namespace

Nanos careful_time(const Instance& instance, LatencyBounds bounds) {
  return instance.settings.slo_attainment < kCarefulAttainment ? bounds.p50 : bounds.p99;
}

LatencyBounds rows_time(const Bucket& bucket, int rows, int width) {
  const ModelSettings& settings = bucket.instance->settings;
  return parts_time(bucket.programs, rows, width, settings.max_batch > 0, settings.allow_padding);
}

BatchOffer offer_batch(const DispatchView& view, const Bucket& bucket, int width) {
  const ModelSettings& settings = bucket.instance->settings;
  const bool may_hold = settings.dynamic_batching && settings.max_queue_delay > Nanos(0);
  BatchOffer offer;
  if (may_hold && settings.preferred_batches.empty() && bucket.queue.rows < bucket.instance->batch_limit()) {
    // The usual reason to hold back, found without walking the queue.
    offer.until = hold_until(bucket, bucket.queue.rows, width, bucket.queue.earliest_deadline());
    if (offer.until > view.now) return offer;
  }
  Gathered g = gather(view, bucket, width);
  Prefix chosen = g.runnable.back();
  bool reached = false;
  if (!g.full || settings.preferred_batches.size() > 0) {
    for (const Prefix& p : g.runnable)
      if (preferred(settings, p.rows)) {
        chosen = p;
        reached = true;
      }
  }
  if (may_hold && !g.full && !reached) {
    offer.until = hold_until(bucket, g.runnable.back().rows, width, g.deadline);
    if (offer.until > view.now) return offer;
  }
  for (size_t i = g.runnable.size(); i-- > 0;) {
    if (g.runnable[i].queries > chosen.queries) continue;
    PartsPlan plan =
        plan_parts(bucket.programs, g.runnable[i].rows, width, settings.max_batch > 0, settings.allow_padding);
    if (plan.arena > view.memory_left) continue;
    offer.kind = BatchOffer::Kind::kStart;
    offer.plan = std::move(plan);
    g.queries.resize(g.runnable[i].queries);
    offer.queries = std::move(g.queries);
    return offer;
  }
  offer.kind = BatchOffer::Kind::kNoMemory;
  return offer;
}

}  // namespace motet::brain
