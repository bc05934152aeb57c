#include "body/sim/workload.h"

#include <algorithm>
#include <string>

namespace motet::sim {
namespace {

constexpr uint64_t kUnknownInstance = 1'000'000;

}  // namespace

Workload::Workload(const Scenario& scenario, Faults& faults) : scenario_(scenario), faults_(faults) {
  for (const ModelTruth& model : scenario.models) {
    streams_.emplace_back(scenario.seed, "arrivals of " + model.settings.name);
    settings_.push_back(model.settings);
  }
  burst_left_.resize(scenario.models.size());
}

Nanos Workload::gap(size_t index) {
  const ModelTruth& model = scenario_.models[index];
  Random& random = streams_[index];
  if (burst_left_[index] > 0) {
    --burst_left_[index];
    return Nanos(0);
  }
  if (faults_.strikes(Fault::kBurst)) burst_left_[index] = faults_.random().between(2, 60);
  if (random.chance(model.burstiness)) return Nanos(random.between(0, 1'000));
  double mean = static_cast<double>(model.mean_gap.value) / (1.0 - model.burstiness);
  return Nanos(static_cast<int64_t>(random.exponential(mean)));
}

brain::Arrived Workload::arrival(size_t index, Nanos now) {
  const ModelTruth& model = scenario_.models[index];
  const brain::ModelSettings& settings = settings_[index];
  Random& random = streams_[index];
  brain::Arrived e;
  e.query = QueryId(next_query_++);
  e.instance = faults_.strikes(Fault::kUnknownInstance) ? InstanceId(kUnknownInstance) : model.instance;
  size_t bucket = random.chance(0.7) ? 0 : random.below(model.buckets.size());
  e.bucket = model.buckets[bucket].bucket;
  e.rows = static_cast<int>(random.between(1, model.most_rows));
  if (settings.max_batch > 0 && faults_.strikes(Fault::kOversizeRows))
    e.rows = settings.max_batch + static_cast<int>(faults_.random().between(1, 1'000));
  e.bytes = Bytes(model.row_bytes.value * e.rows);
  e.arrived_at = now;
  if (faults_.strikes(Fault::kOldArrival)) e.arrived_at = now - model.base_time * faults_.random().between(1, 1'000);
  if (random.chance(model.client_deadlines)) e.deadline = now + Nanos(random.between(0, 100 * model.base_time.value));
  if (settings.priority_levels > 0) e.priority = static_cast<int>(random.between(0, settings.priority_levels));
  e.tenant = TenantId(1 + random.below(3));
  return e;
}

brain::Arrived Workload::probe(size_t index, Nanos now) {
  const ModelTruth& model = scenario_.models[index];
  brain::Arrived e;
  e.query = QueryId(next_query_++);
  e.instance = model.instance;
  e.bucket = model.buckets.front().bucket;
  e.bytes = Bytes(1);
  e.arrived_at = now;
  return e;
}

brain::ConfigChanged Workload::wanted(size_t index) {
  const ModelTruth& model = scenario_.models[index];
  return {model.instance, true, settings_[index], model.expected_weights};
}

brain::ConfigChanged Workload::reconfigured(size_t index) {
  settings_[index] = draw_settings(faults_.random(), scenario_.models[index]);
  return wanted(index);
}

brain::ConfigChanged Workload::calmed(size_t index) {
  brain::ModelSettings& s = settings_[index];
  s.slo = kNever;
  s.max_queue = 0;
  s.allow_padding = s.max_batch > 0;
  return wanted(index);
}

brain::ConfigChanged Workload::unwanted(size_t index) const {
  return {scenario_.models[index].instance, false, {}, Bytes(0)};
}

QueryId Workload::any_query() {
  return QueryId(static_cast<uint64_t>(faults_.random().between(1, static_cast<int64_t>(next_query_) + 5)));
}

}  // namespace motet::sim
