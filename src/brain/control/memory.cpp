#include "brain/control/memory.h"

#include <algorithm>
#include <vector>

#include "brain/control/buckets.h"
#include "brain/fleet/eviction.h"

namespace motet::brain {
namespace {

bool idle(const Bucket& bucket) {
  return bucket.phase == BucketPhase::kReady && bucket.queue.empty() && bucket.executions == 0;
}

}  // namespace

bool make_room(Domain& d, Bytes bytes, InstanceId keep) {
  if (bytes <= Bytes(0) || d.budget.fits(bytes)) return true;
  std::vector<Resident> residents;
  for (const auto& [id, instance] : d.instances) {
    if (!instance.settings.on_demand || instance.unload_pending || id == keep) continue;
    double per_s = instance.asked.per_s(d.now);
    for (const auto& [bucket_id, bucket] : instance.buckets)
      if (idle(bucket)) residents.push_back({id, bucket_id, bucket.bytes, instance.shortest_load, per_s});
  }
  for (const Resident& victim : choose_victims(residents, bytes - d.budget.left()))
    evict_bucket(d, d.instances.at(victim.instance), victim.bucket);
  return d.budget.fits(bytes);
}

Bytes expected_load(const Instance& instance) {
  return instance.load_bytes > Bytes(0) ? instance.load_bytes : instance.expected_bytes;
}

std::optional<Error> never_loads(const Domain& d, const Instance& instance) {
  if (!instance.settings.on_demand) return std::nullopt;
  Bytes stays;
  for (const auto& [id, other] : d.instances) {
    stays += other.bytes;
    if (other.settings.on_demand) continue;
    for (const auto& [bucket_id, bucket] : other.buckets) stays += bucket.bytes;
  }
  Bytes expected = expected_load(instance);
  if (expected <= d.budget.limit() - stays) return std::nullopt;
  return resource_exhausted(model_text(instance) + ": its programs take " + std::to_string(expected.value) +
                            " bytes; of the budget's " + std::to_string(d.budget.limit().value) + ", " +
                            std::to_string(stays.value) + " are of models that stay loaded");
}

bool may_load(Domain& d, Instance& instance) {
  if (!instance.settings.on_demand) return true;
  if (static_cast<int>(d.loading.size()) >= d.options.max_loads) return false;
  Bytes expected = expected_load(instance);
  for (const auto& [key, bytes] : d.loading) expected += bytes;
  return make_room(d, expected);
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

Nanos loaded_by(const Domain& d, const Instance& instance, BucketId id) {
  auto at = instance.buckets.find(id);
  if (at != instance.buckets.end() && at->second.phase == BucketPhase::kReady) return d.now;
  bool loading = at != instance.buckets.end() && at->second.load_began != kNever;
  return std::max(d.now, (loading ? at->second.load_began : d.now) + instance.load_time);
}

}  // namespace motet::brain
