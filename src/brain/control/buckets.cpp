#include "brain/control/buckets.h"

#include <algorithm>

#include "brain/control/answers.h"
#include "brain/control/lifecycle.h"
#include "brain/control/memory.h"
#include "brain/control/queues.h"
#include "brain/sched/parts.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

// Ids of dropped buckets remembered per instance, so that a late Loaded is known as stale.
constexpr size_t kDroppedKept = 4096;

void set_bound(Domain& d, Bucket& b, Nanos at) { move_key(d.load_bounds, b.bound_at, at, b.instance->id, b.id); }

void set_bytes(Domain& d, Bucket& bucket, Bytes bytes) {
  d.budget.release(bucket.bytes);
  d.budget.charge(bytes);
  bucket.bytes = bytes;
  if (!bucket.instance->settings.on_demand) d.stays.reset();
}

void fail_queue(Domain& d, Bucket& bucket, const Error& error) {
  while (bucket.queue.oldest != nullptr) reply_error(d, *bucket.queue.oldest, error);
}

void erase(Domain& d, Bucket& bucket) {
  MOTET_CHECK(bucket.queue.empty() && bucket.executions == 0, "a bucket goes when nothing uses it");
  set_bound(d, bucket, kNever);
  set_bytes(d, bucket, Bytes(0));
  Instance& instance = *bucket.instance;
  BucketId id = bucket.id;
  d.loading.erase({instance.id, id});
  instance.buckets.erase(id);
}

// Tells the body to let go of a bucket's programs, whether or not the bucket was ever ours.
void tell_unload(Domain& d, Instance& instance, BucketId id) {
  if (instance.dropped.size() >= kDroppedKept) instance.dropped.erase(instance.dropped.begin());
  instance.dropped.insert(id);
  d.actions.push_back(Unload{instance.id, id});
}

void unload(Domain& d, Bucket& bucket) {
  tell_unload(d, *bucket.instance, bucket.id);
  erase(d, bucket);
}

void ask_load(Domain& d, Bucket& bucket) {
  bucket.phase = BucketPhase::kLoading;
  bucket.load_began = d.now;
  if (bucket.instance->settings.on_demand)
    d.loading[{bucket.instance->id, bucket.id}] = expected_load(*bucket.instance);
  bucket.instance->dropped.erase(bucket.id);
  set_bound(d, bucket, d.now + d.options.load_bound);
  d.actions.push_back(Load{bucket.instance->id, bucket.id});
}

void wait_for_place(Domain& d, Bucket& bucket) {
  bucket.phase = BucketPhase::kWanted;
  bucket.load_began = kNever;
  bucket.wanted_since = d.now;
  d.crowded.insert(bucket.instance->id);
  if (bucket.bound_at == kNever) set_bound(d, bucket, d.now + d.options.load_bound);
}

// Room for one more bucket, made by dropping the least recently used idle one if need be.
bool make_place(Domain& d, Instance& instance) {
  int placed = 0;
  Bucket* idle = nullptr;
  for (auto& [id, bucket] : instance.buckets) {
    if (bucket.phase == BucketPhase::kWanted) continue;
    ++placed;
    if (bucket.phase != BucketPhase::kReady || !bucket.queue.empty() || bucket.executions > 0) continue;
    if (idle == nullptr || bucket.last_used < idle->last_used) idle = &bucket;
  }
  if (placed < d.options.max_buckets) return true;
  if (idle == nullptr) return false;
  unload(d, *idle);
  return true;
}

void note_load(Instance& instance, Nanos took) {
  // What was short once may be longer now: the shortest is forgotten by a quarter a load.
  const Nanos before = instance.shortest_load;
  instance.load_time = took;
  instance.shortest_load = before == Nanos(0) ? took : std::min(took, Nanos(before.value + before.value / 4));
}

// Ascending, each size once; empty if any cannot be a program.
std::vector<Program> usable_programs(std::vector<ProgramFeatures> features) {
  std::vector<Program> programs;
  std::sort(features.begin(), features.end(), [](const auto& a, const auto& b) { return a.batch < b.batch; });
  for (ProgramFeatures& f : features) {
    if (f.batch < 1 || f.arena < Bytes(0)) return {};
    if (!programs.empty() && programs.back().features.batch == f.batch) continue;
    ProgramLatency latency(f.predicted);
    programs.push_back({std::move(f), std::move(latency)});
  }
  return programs;
}

// The body has compiled more sizes of what is in use, or better programs. What is known of the old ones stays known.
void renew_programs(Domain& d, Bucket& bucket, const Loaded& event) {
  std::vector<Program> programs = usable_programs(event.programs);
  bool all = !programs.empty();
  for (const Program& old : bucket.programs) {
    auto same = std::find_if(programs.begin(), programs.end(),
                             [&](const Program& p) { return p.features.batch == old.features.batch; });
    all = all && same != programs.end();
    if (all && same->features.predicted == old.features.predicted) same->latency = old.latency;
  }
  Bytes more = event.bytes - bucket.bytes;
  if (!all || event.bytes < Bytes(0) || (more > Bytes(0) && !make_room(d, more))) return;  // the old ones serve on
  set_bytes(d, bucket, event.bytes);
  bucket.instance->load_bytes = event.bytes;
  bucket.programs = std::move(programs);
  recheck_rows(d, bucket);
  reindex(d, bucket);
}

}  // namespace

std::optional<Error> rows_error(const Bucket& bucket, int rows) {
  const ModelSettings& s = bucket.instance->settings;
  if (parts_time(bucket.programs, rows, 1, s.max_batch > 0, s.allow_padding).p50 != kNever) return std::nullopt;
  return invalid_argument(model_text(*bucket.instance) + ": " + std::to_string(rows) +
                          " rows cannot be made of its compiled batch sizes (" + sizes_text(bucket.programs) +
                          ") and its configuration does not allow padding");
}

Bucket& bucket_for(Domain& d, Instance& instance, BucketId id) {
  auto [at, fresh] = instance.buckets.try_emplace(id);
  Bucket& bucket = at->second;
  bucket.last_used = ++d.last_use;
  if (!fresh) return bucket;
  bucket.id = id;
  bucket.instance = &instance;
  if (may_load(d, instance, d.now) && make_place(d, instance)) {
    ask_load(d, bucket);
  } else {
    wait_for_place(d, bucket);
  }
  return bucket;
}

void bucket_loaded(Domain& d, Instance& instance, const Loaded& event) {
  auto at = instance.buckets.find(event.bucket);
  if (at == instance.buckets.end() || at->second.phase == BucketPhase::kWanted) {
    // Not asked for: the body warms up what it knows will be used. Unless it has been dropped since.
    if (instance.dropped.contains(event.bucket)) return;
    // Without a place it must not stay with the body either, where nothing would charge it.
    if (!make_place(d, instance)) return tell_unload(d, instance, event.bucket);
    at = instance.buckets.try_emplace(event.bucket).first;
    at->second.id = event.bucket;
    at->second.instance = &instance;
  } else if (at->second.phase == BucketPhase::kReady) {
    return renew_programs(d, at->second, event);
  }
  Bucket& bucket = at->second;
  d.loading.erase({instance.id, event.bucket});
  bucket.programs = usable_programs(event.programs);
  if (event.bytes >= Bytes(0)) instance.load_bytes = event.bytes;
  std::optional<Error> error;
  bool room = make_room(d, event.bytes);
  if (!room && instance.settings.on_demand && event.bytes <= d.budget.limit() && !bucket.queue.empty()) {
    // It took more than was expected: its queries wait until so much is free, as if they had just come.
    set_bound(d, bucket, kNever);
    return recall_bucket(d, bucket);
  }
  if (bucket.programs.empty()) {
    error =
        internal_error(model_text(instance) + ": a shape was loaded without programs, or with one of batch below 1");
  } else if (event.bytes < Bytes(0) || !room) {
    error = resource_exhausted(model_text(instance) + ": the programs of a shape took " +
                               std::to_string(event.bytes.value) + " bytes; " + std::to_string(d.budget.left().value) +
                               " of " + std::to_string(d.budget.limit().value) + " bytes are left");
  }
  set_bound(d, bucket, kNever);
  if (error) {
    fail_queue(d, bucket, *error);
    unload(d, bucket);
    return;
  }
  set_bytes(d, bucket, event.bytes);
  bucket.phase = BucketPhase::kReady;
  if (bucket.load_began != kNever) note_load(instance, d.now - bucket.load_began);
  bucket.load_began = kNever;
  bucket.last_used = ++d.last_use;
  bucket.last_started = d.now;
  recheck_rows(d, bucket);
  reindex(d, bucket);
}

void recheck_rows(Domain& d, Bucket& bucket) {
  if (bucket.phase != BucketPhase::kReady) return;
  for (Query* q = bucket.queue.oldest; q != nullptr;) {
    Query* next = q->newer;
    if (auto error = rows_error(bucket, q->rows)) reply_error(d, *q, *error);
    q = next;
  }
}

void bucket_failed(Domain& d, Instance& instance, BucketId id, const Error& error) {
  auto at = instance.buckets.find(id);
  if (at == instance.buckets.end() || at->second.phase != BucketPhase::kLoading) return;
  fail_queue(d, at->second, error);
  erase(d, at->second);
}

void evict_bucket(Domain& d, Instance& instance, BucketId id) { unload(d, instance.buckets.at(id)); }

void recall_bucket(Domain& d, Bucket& bucket) {
  tell_unload(d, *bucket.instance, bucket.id);
  set_bytes(d, bucket, Bytes(0));
  bucket.programs.clear();
  wait_for_place(d, bucket);
  reindex(d, bucket);
}

void expire_bucket(Domain& d, Instance& instance, BucketId id) {
  Bucket& bucket = instance.buckets.at(id);
  bool waited = bucket.phase == BucketPhase::kWanted;
  std::string within = " within " + duration_text(d.options.load_bound);
  fail_queue(d, bucket,
             waited ? unavailable(model_text(instance) + ": no place came free" + within +
                                  " for the programs of this shape; " + std::to_string(d.options.max_buckets) +
                                  " shapes are kept and all are in use, or all memory is")
                    : internal_error(model_text(instance) + ": the programs of this shape were not ready" + within));
  if (waited) {
    erase(d, bucket);
  } else {
    unload(d, bucket);
  }
}

bool unload_retired(Domain& d, Instance& instance, BucketId id) {
  auto at = instance.buckets.find(id);
  if (at == instance.buckets.end()) return true;
  Bucket& bucket = at->second;
  if (bucket.phase != BucketPhase::kReady || !bucket.queue.empty() || bucket.executions > 0) return false;
  unload(d, bucket);
  return true;
}

void drop_unready_buckets(Domain& d, Instance& instance) {
  d.crowded.erase(instance.id);
  for (auto at = instance.buckets.begin(); at != instance.buckets.end();) {
    Bucket& bucket = (at++)->second;
    if (bucket.phase != BucketPhase::kReady) erase(d, bucket);
  }
}

void drop_all_buckets(Domain& d, Instance& instance) {
  d.crowded.erase(instance.id);
  while (!instance.buckets.empty()) {
    Bucket& bucket = instance.buckets.begin()->second;
    fail_queue(d, bucket, unavailable(model_text(instance) + " has been unloaded"));
    erase(d, bucket);
  }
}

// True: none waits any more.
static bool fail_waiting(Domain& d, Instance& instance, const Error& error) {
  for (auto at = instance.buckets.begin(); at != instance.buckets.end();) {
    Bucket& bucket = (at++)->second;
    if (bucket.phase != BucketPhase::kWanted) continue;
    fail_queue(d, bucket, error);
    erase(d, bucket);
  }
  return true;
}

bool place_waiting_buckets(Domain& d, Instance& instance) {
  bool waiting = false;
  for (auto at = instance.buckets.begin(); at != instance.buckets.end();) {
    Bucket& bucket = (at++)->second;
    if (bucket.phase != BucketPhase::kWanted) continue;
    if (bucket.queue.empty()) {
      erase(d, bucket);
    } else {
      waiting = true;
    }
  }
  if (waiting) {
    if (auto error = never_loads(d, instance)) return fail_waiting(d, instance, *error);
  }
  while (waiting) {
    // The one whose query has waited longest.
    Bucket* first = nullptr;
    for (auto& [id, bucket] : instance.buckets) {
      if (bucket.phase != BucketPhase::kWanted) continue;
      if (first == nullptr || bucket.queue.oldest->sequence < first->queue.oldest->sequence) first = &bucket;
    }
    if (first == nullptr) return true;
    if (!may_load(d, instance, first->wanted_since) || !make_place(d, instance)) return false;
    ask_load(d, *first);
  }
  return true;
}

}  // namespace motet::brain
