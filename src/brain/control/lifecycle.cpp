#include "brain/control/lifecycle.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "brain/control/buckets.h"
#include "brain/control/memory.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

void set_bound(Domain& d, Instance& i, Nanos at) { move_key(d.load_bounds, i.bound_at, at, i.id, BucketId{0}); }

void set_bytes(Domain& d, Instance& i, Bytes bytes) {
  d.budget.release(i.bytes);
  d.budget.charge(bytes);
  i.bytes = bytes;
  d.stays.reset();
}

// Another set of instances, or other limits: the slow decision is due.
void ask_plan(Domain& d) {
  double seconds = (d.now - d.plan_asked_at).seconds();
  for (auto& [id, instance] : d.instances) {
    instance.arrivals_per_s = seconds > 0 ? static_cast<double>(instance.arrivals) / seconds : 0;
    instance.arrivals = 0;
  }
  d.plan_asked_at = d.now;
  d.actions.push_back(Plan{++d.plan_asked});
}

void fail_instance(Domain& d, Instance& i, Error reason) {
  set_bound(d, i, kNever);
  i.state = Lifecycle::kFailed;
  i.reason = std::move(reason);
}

// Whatever of it the body may hold has to go; what is charged stays so until Unloaded.
void ask_unload(Domain& d, Instance& i) {
  d.draining.erase(i.id);
  set_bound(d, i, kNever);
  drop_unready_buckets(d, i);
  i.unload_pending = true;
  i.load_again = false;
  d.actions.push_back(Unload{i.id, 0});
}

void release_all(Domain& d, Instance& i) {
  drop_all_buckets(d, i);
  set_bytes(d, i, Bytes(0));
  i.dropped.clear();
}

// What is read of a model on demand takes next to nothing: its programs are what counts, each when it is loaded.
void begin_load(Domain& d, Instance& i, Bytes expected) {
  if (i.settings.on_demand && expected >= Bytes(0)) expected = Bytes(0);
  i.reason = Error();
  i.load_again = false;
  i.state = Lifecycle::kLoading;
  if (expected < Bytes(0) || !make_room(d, expected)) {
    fail_instance(d, i,
                  resource_exhausted(model_text(i) + ": its weights of " + std::to_string(expected.value) +
                                     " bytes do not fit: " + std::to_string(d.budget.left().value) + " of " +
                                     std::to_string(d.budget.limit().value) + " bytes are left"));
    return;
  }
  set_bytes(d, i, expected);
  i.load_pending = true;
  set_bound(d, i, d.now + d.options.load_bound);
  d.actions.push_back(Load{i.id, 0});
}

void want(Domain& d, Instance& i, const ConfigChanged& event) {
  i.settings = event.settings;
  i.expected_bytes = event.expected_bytes;
  d.stays.reset();
  if (i.unload_pending) {
    i.load_again = true;
    return;
  }
  d.draining.erase(i.id);
  if (i.load_pending) {
    i.state = i.buckets.empty() ? Lifecycle::kLoading : Lifecycle::kWarmingUp;
    return;
  }
  if (!i.serves()) {
    begin_load(d, i, event.expected_bytes);
    return;
  }
  i.state = Lifecycle::kReady;
  for (auto& [id, bucket] : i.buckets) recheck_rows(d, bucket);
  ask_plan(d);
}

void drop(Domain& d, Instance& i) {
  i.load_again = false;
  if (i.unload_pending) return;
  if (i.serves() || i.load_pending) {
    i.state = Lifecycle::kDraining;
    d.draining.insert(i.id);
  } else {
    i.state = Lifecycle::kUnloaded;
    i.reason = Error();
  }
}

void whole_loaded(Domain& d, Instance& i, Bytes bytes) {
  i.load_pending = false;
  set_bound(d, i, kNever);
  if (bytes < Bytes(0) || (bytes > i.bytes && !make_room(d, bytes - i.bytes))) {
    fail_instance(d, i,
                  resource_exhausted(model_text(i) + ": its weights took " + std::to_string(bytes.value) +
                                     " bytes where " + std::to_string(i.bytes.value) + " were expected and " +
                                     std::to_string(d.budget.left().value) + " more are left of the budget"));
    ask_unload(d, i);
    return;
  }
  set_bytes(d, i, bytes);
  if (i.state == Lifecycle::kDraining) return;  // no longer wanted: settle_lifecycle unloads it
  i.state = Lifecycle::kReady;
  ask_plan(d);
}

// The earliest query of a bucket that waits for a place.
uint64_t first_waiting(const Instance& i) {
  uint64_t first = UINT64_MAX;
  for (const auto& [id, bucket] : i.buckets)
    if (bucket.phase == BucketPhase::kWanted && !bucket.queue.empty())
      first = std::min(first, bucket.queue.oldest->sequence);
  return first;
}

}  // namespace

void on_config(Domain& d, const ConfigChanged& event) {
  auto at = d.instances.find(event.instance);
  if (at == d.instances.end()) {
    if (!event.wanted || !event.instance) return;
    Instance& fresh = d.instances[event.instance];
    fresh.id = event.instance;
    fresh.settings = event.settings;
    fresh.expected_bytes = event.expected_bytes;
    fresh.share = d.options.cores;
    begin_load(d, fresh, event.expected_bytes);
    return;
  }
  if (event.wanted) {
    want(d, at->second, event);
  } else {
    drop(d, at->second);
  }
}

void on_loaded(Domain& d, const Loaded& event) {
  auto at = d.instances.find(event.instance);
  if (at == d.instances.end()) return;
  Instance& i = at->second;
  if (event.bucket == 0) {
    if (i.load_pending) whole_loaded(d, i, event.bytes);
    return;
  }
  if (i.unload_pending || !(i.serves() || i.load_pending)) return;
  bucket_loaded(d, i, event);
  if (i.state == Lifecycle::kLoading && !i.buckets.empty()) i.state = Lifecycle::kWarmingUp;
}

void on_load_failed(Domain& d, InstanceId instance, BucketId bucket, const Error& error) {
  auto at = d.instances.find(instance);
  if (at == d.instances.end()) return;
  Instance& i = at->second;
  if (bucket != 0) {
    bucket_failed(d, i, bucket, error);
    return;
  }
  if (!i.load_pending) return;
  i.load_pending = false;
  bool wanted = i.state != Lifecycle::kDraining;
  d.draining.erase(i.id);
  fail_instance(d, i, error);
  release_all(d, i);
  if (!wanted) i.state = Lifecycle::kUnloaded;
}

void on_unloaded(Domain& d, const Unloaded& event) {
  auto at = d.instances.find(event.instance);
  if (at == d.instances.end() || !at->second.unload_pending) return;
  Instance& i = at->second;
  i.unload_pending = false;
  release_all(d, i);
  if (i.load_again) {
    begin_load(d, i, i.expected_bytes);
    return;
  }
  if (i.state != Lifecycle::kFailed) i.state = Lifecycle::kUnloaded;
  ask_plan(d);
}

void on_plan(Domain& d, const PlanReady& event) {
  if (event.epoch <= d.plan_applied || event.epoch > d.plan_asked) return;
  d.plan_applied = event.epoch;
  for (const PlanShare& share : event.shares) {
    auto at = d.instances.find(share.instance);
    if (at == d.instances.end()) continue;
    CoreSet cores = share.cores & d.options.cores;
    // A share without cores would let its queries wait for ever.
    at->second.share = cores.empty() ? d.options.cores : cores;
    at->second.share_max_batch = share.max_batch > 0 ? share.max_batch : 0;
  }
}

void on_retired(Domain& d, const Retired& event) {
  auto at = d.instances.find(event.instance);
  if (at != d.instances.end() && at->second.buckets.contains(event.bucket))
    d.retired.emplace(event.instance, event.bucket);
}

void expire_loads(Domain& d) {
  while (!d.load_bounds.empty() && std::get<0>(*d.load_bounds.begin()) <= d.now) {
    auto [bound, id, bucket] = *d.load_bounds.begin();
    Instance& i = d.instances.at(id);
    if (bucket != 0) {
      expire_bucket(d, i, bucket);
      continue;
    }
    i.load_pending = false;
    bool wanted = i.state != Lifecycle::kDraining;
    fail_instance(d, i,
                  internal_error(model_text(i) + ": loading has not come to its end within " +
                                 duration_text(d.options.load_bound)));
    if (!wanted) i.state = Lifecycle::kDraining;
    ask_unload(d, i);
  }
}

void settle_lifecycle(Domain& d) {
  for (auto at = d.retired.begin(); at != d.retired.end();)
    at = unload_retired(d, d.instances.at(at->first), at->second) ? d.retired.erase(at) : std::next(at);
  d.room_at = kNever;
  // Who has waited longest first: places may be instances' own, memory and loads are common.
  std::vector<std::pair<uint64_t, InstanceId>> waiting;
  for (InstanceId id : d.crowded) waiting.emplace_back(first_waiting(d.instances.at(id)), id);
  std::sort(waiting.begin(), waiting.end());
  for (const auto& [sequence, id] : waiting)
    if (place_waiting_buckets(d, d.instances.at(id))) d.crowded.erase(id);
  for (auto at = d.draining.begin(); at != d.draining.end();) {
    Instance& i = d.instances.at(*at++);
    if (i.queued == 0 && i.running == 0 && !i.load_pending) ask_unload(d, i);
  }
}

}  // namespace motet::brain
