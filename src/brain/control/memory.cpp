#include "brain/control/memory.h"

#include <algorithm>
#include <vector>

#include "brain/control/buckets.h"
#include "brain/fleet/eviction.h"
#include "brain/sched/parts.h"

namespace motet::brain {
namespace {

bool idle(const Bucket& bucket) {
  return bucket.phase == BucketPhase::kReady && bucket.queue.empty() && bucket.executions == 0;
}

bool loaded(const Bucket& bucket) { return bucket.phase == BucketPhase::kReady; }

// Programs of models on demand, but for those of `keep`.
template <class Counts>
std::vector<Resident> residents(const Domain& d, InstanceId keep, Counts&& counts) {
  std::vector<Resident> all;
  for (const auto& [id, instance] : d.instances) {
    if (!instance.settings.on_demand || instance.unload_pending || id == keep) continue;
    double per_s = instance.asked.per_s(d.now);
    for (const auto& [bucket_id, bucket] : instance.buckets)
      if (counts(bucket)) all.push_back({id, bucket_id, bucket.bytes, instance.shortest_load, per_s});
  }
  return all;
}

// True if `bytes` fit then.
bool drop(Domain& d, const std::vector<Resident>& victims, Bytes bytes) {
  for (const Resident& victim : victims) evict_bucket(d, d.instances.at(victim.instance), victim.bucket);
  return d.budget.fits(bytes);
}

// Room for a load: of all that is loaded the least worth gives way, and where that is in use it is waited for.
bool make_room_to_load(Domain& d, Bytes bytes, Nanos wanted_since) {
  if (d.budget.fits(bytes)) return true;
  const Bytes needed = bytes - d.budget.left();
  auto in_use = [&](const Resident& r) { return !idle(d.instances.at(r.instance).buckets.at(r.bucket)); };
  const std::vector<Resident> least = choose_victims(residents(d, {}, loaded), needed);
  const std::vector<Resident> now = choose_victims(residents(d, {}, idle), needed);
  if (std::any_of(least.begin(), least.end(), in_use) && !now.empty()) {
    Nanos wait;
    for (const Resident& r : now) wait = std::max(wait, d.instances.at(r.instance).load_time);
    if (d.now < wanted_since + wait) {
      d.room_at = std::min(d.room_at, wanted_since + wait);
      return false;
    }
  }
  return drop(d, now, bytes);
}

Bytes bytes_that_stay(const Domain& d) {
  Bytes sum;
  for (const auto& [id, instance] : d.instances) {
    sum += instance.bytes;
    if (instance.settings.on_demand) continue;
    for (const auto& [bucket_id, bucket] : instance.buckets) sum += bucket.bytes;
  }
  return sum;
}

}  // namespace

bool make_room(Domain& d, Bytes bytes, InstanceId keep) {
  if (bytes <= Bytes(0) || d.budget.fits(bytes)) return true;
  return drop(d, choose_victims(residents(d, keep, idle), bytes - d.budget.left()), bytes);
}

Bytes expected_load(const Instance& instance) {
  return instance.load_bytes > Bytes(0) ? instance.load_bytes : instance.expected_bytes;
}

std::optional<Error> never_loads(Domain& d, const Instance& instance) {
  if (!instance.settings.on_demand) return std::nullopt;
  if (!d.stays) d.stays = bytes_that_stay(d);
  const Bytes stays = *d.stays, expected = expected_load(instance);
  if (expected <= d.budget.limit() - stays) return std::nullopt;
  return resource_exhausted(model_text(instance) + ": its programs take " + std::to_string(expected.value) +
                            " bytes; of the budget's " + std::to_string(d.budget.limit().value) + ", " +
                            std::to_string(stays.value) + " are of models that stay loaded");
}

bool may_load(Domain& d, Instance& instance, Nanos wanted_since) {
  if (!instance.settings.on_demand) return true;
  if (static_cast<int>(d.loading.size()) >= d.options.max_loads) return false;
  Bytes expected = expected_load(instance);
  for (const auto& [key, bytes] : d.loading) expected += bytes;
  return make_room_to_load(d, expected, wanted_since);
}

void make_room_to_run(Domain& d) {
  if (d.ready.empty()) return;
  const Bucket& first = *d.ready.begin()->second;
  // From the program that would take all its rows at once down: without room for one the policy makes do with a
  // smaller.
  auto program = std::find_if(first.programs.begin(), first.programs.end(),
                              [&](const Program& p) { return p.features.batch >= first.queue.rows; });
  if (program != first.programs.end()) ++program;
  while (program != first.programs.begin())
    if (make_room(d, (--program)->features.arena)) return;
}

bool make_room_to_answer(Domain& d, const Query& q) {
  const Bucket& bucket = *q.bucket;
  const ModelSettings& settings = bucket.instance->settings;
  const Bytes arena =
      plan_parts(bucket.programs, q.rows, bucket.instance->share.size(), settings.max_batch > 0, settings.allow_padding)
          .arena;
  if (d.budget.fits(arena)) return false;
  auto unused = [&](const Bucket& b) { return loaded(b) && b.executions == 0 && &b != &bucket; };
  const std::vector<Resident> victims = choose_victims(residents(d, {}, unused), arena - d.budget.left());
  for (const Resident& victim : victims) {
    Instance& instance = d.instances.at(victim.instance);
    if (instance.buckets.at(victim.bucket).queue.empty()) {
      evict_bucket(d, instance, victim.bucket);
    } else {
      recall_bucket(d, instance.buckets.at(victim.bucket));
    }
  }
  return !victims.empty();
}

Nanos loaded_by(const Domain& d, const Instance& instance, BucketId id) {
  auto at = instance.buckets.find(id);
  if (at != instance.buckets.end() && at->second.phase == BucketPhase::kReady) return d.now;
  bool loading = at != instance.buckets.end() && at->second.load_began != kNever;
  return std::max(d.now, (loading ? at->second.load_began : d.now) + instance.load_time);
}

}  // namespace motet::brain
