#include "brain/control/queues.h"

#include "brain/control/answers.h"
#include "brain/sched/text.h"

namespace motet::brain {

void enqueue(Domain& d, Query& q) {
  Bucket& bucket = *q.bucket;
  Queue& queue = bucket.queue;
  Level& level = queue.levels[q.level];
  (q.timed() ? level.timed : level.untimed).insert(&q);
  q.older = queue.newest;
  q.newer = nullptr;
  (queue.newest != nullptr ? queue.newest->newer : queue.oldest) = &q;
  queue.newest = &q;
  ++queue.queries;
  queue.rows += q.rows;
  ++bucket.instance->queued;
  reindex(d, bucket);
}

void unqueue(Domain& d, Query& q) {
  Bucket& bucket = *q.bucket;
  Queue& queue = bucket.queue;
  auto level = queue.levels.find(q.level);
  MOTET_CHECK(level != queue.levels.end(), "a waiting query has its level");
  MOTET_CHECK((q.timed() ? level->second.timed : level->second.untimed).erase(&q) == 1,
              "a waiting query is in its queue");
  if (level->second.timed.empty() && level->second.untimed.empty()) queue.levels.erase(level);
  (q.older != nullptr ? q.older->newer : queue.oldest) = q.newer;
  (q.newer != nullptr ? q.newer->older : queue.newest) = q.older;
  q.older = q.newer = nullptr;
  --queue.queries;
  queue.rows -= q.rows;
  --bucket.instance->queued;
  reindex(d, bucket);
}

void reindex(Domain& d, Bucket& bucket) {
  const Query* head = bucket.phase == BucketPhase::kReady ? bucket.queue.most_due() : nullptr;
  std::optional<std::pair<Nanos, uint64_t>> key;
  if (head != nullptr) key = {head->due, head->sequence};
  if (key != bucket.ready_key) {
    if (bucket.ready_key) d.ready.erase(*bucket.ready_key);
    if (key) d.ready.emplace(*key, &bucket);
    bucket.ready_key = key;
  }
  move_key(d.deadlines, bucket.deadline_key, bucket.queue.earliest_deadline(), bucket.instance->id, bucket.id);
}

void shed_expired(Domain& d) {
  while (!d.deadlines.empty() && std::get<0>(*d.deadlines.begin()) <= d.now) {
    auto [at, instance_id, bucket_id] = *d.deadlines.begin();
    Instance& instance = d.instances.at(instance_id);
    Bucket& bucket = instance.buckets.at(bucket_id);
    for (auto& [number, level] : bucket.queue.levels) {
      if (level.timed.empty() || (*level.timed.begin())->deadline != at) continue;
      Query& q = **level.timed.begin();
      Error error{Code::kDeadlineExceeded,
                  model_text(instance) + ": the deadline passed " + duration_text(d.now - q.deadline) + " ago, after " +
                      duration_text(d.now - q.admitted_at) + " in a queue of " + std::to_string(bucket.queue.queries) +
                      "; it allowed " + duration_text(q.deadline - q.arrived_at) + " from arrival"};
      shed(d, q, ShedReason::kDeadlinePassed, std::move(error));
      break;  // the levels may have changed
    }
  }
}

}  // namespace motet::brain
