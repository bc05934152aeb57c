#include "body/sim/scenario.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/math.h"
#include "brain/control/describe.h"

namespace motet::sim {

using brain::describe;

namespace {

constexpr int64_t kKiB = 1024;

// Between low and high, each decade equally likely. REQUIRES: 0 < low <= high.
int64_t log_between(Random& random, int64_t low, int64_t high) {
  double from = stable_log(static_cast<double>(low));
  double to = stable_log(static_cast<double>(high));
  auto value = static_cast<int64_t>(stable_exp(from + random.uniform() * (to - from)));
  return std::clamp(value, low, high);
}

Nanos scaled(Nanos t, double factor) { return Nanos(static_cast<int64_t>(static_cast<double>(t.value) * factor)); }

// Compiled sizes up to `most` rows. Without 1 among them only where padding makes up for it.
std::vector<int> draw_sizes(Random& random, int most, bool padding) {
  std::vector<int> sizes;
  for (int size = 1; size <= most; size *= 2)
    if (size == 1 || random.chance(0.7)) sizes.push_back(size);
  if (most > 2 && random.chance(0.3)) sizes.push_back(most);
  if (padding && sizes.size() > 1 && random.chance(0.3)) sizes.erase(sizes.begin());
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

BucketTruth draw_bucket(Random& random, const ModelTruth& model, int width, size_t index) {
  BucketTruth out;
  out.bucket = 0x1000 * model.instance.value + index + 1;
  double size = index == 0 ? 1.0 : 0.3 + 3.0 * random.uniform();  // other shapes, other work
  double serial = 0.05 + 0.5 * random.uniform();                  // Amdahl's share
  double each_row = 0.3 + 0.7 * random.uniform();                 // a further row costs this much of the first
  int64_t arena_row = log_between(random, 4 * kKiB, 8 * kKiB * kKiB);
  // What was measured while the machine was busy promises far too little.
  double misjudged = random.chance(0.15) ? 0.05 + 0.25 * random.uniform() : 1.0;
  for (int batch : draw_sizes(random, std::max(model.settings.max_batch, 1), model.settings.allow_padding)) {
    brain::ProgramFeatures program;
    program.batch = batch;
    program.arena = Bytes(arena_row * batch);
    std::vector<double> bias;
    for (int w = 1; w <= width; ++w) {
      double speed = serial + (1.0 - serial) / w;
      program.predicted.push_back(scaled(model.base_time, size * (1.0 + each_row * (batch - 1)) * speed));
      bias.push_back(misjudged * (0.6 + random.uniform()));
    }
    out.programs.push_back(std::move(program));
    out.bias.push_back(std::move(bias));
  }
  out.bytes = Bytes(random.chance(0.3) ? 0 : model.weights.value / 8);
  if (model.settings.on_demand) out.bytes += model.weights;
  out.load_time = model.base_time * log_between(random, 1, 500);
  return out;
}

ModelTruth draw_model(Random& random, uint64_t number, int width, Nanos base_time) {
  ModelTruth model;
  model.instance = InstanceId(number);
  model.base_time = base_time;
  model.settings.name = "model_" + std::to_string(number);
  model.settings.max_batch = random.chance(0.2) ? 0 : static_cast<int>(log_between(random, 1, 32));
  model.settings = draw_settings(random, model);
  model.weights = Bytes(log_between(random, 64 * kKiB, 512 * kKiB * kKiB));
  model.expected_weights = model.weights;
  if (random.chance(0.2)) model.expected_weights = Bytes(model.weights.value / 10 * random.between(5, 14));
  model.settings.on_demand = random.chance(0.3);
  model.load_time = model.base_time * log_between(random, 1, 1'000);
  model.unload_time = model.base_time * log_between(random, 1, 100);
  int64_t buckets = random.chance(0.5) ? 1 : random.between(2, 6);
  for (int64_t i = 0; i < buckets; ++i)
    model.buckets.push_back(draw_bucket(random, model, width, static_cast<size_t>(i)));
  if (model.settings.on_demand) model.weights = Bytes(0);  // they come with its programs
  model.burstiness = random.chance(0.5) ? 0 : 0.9 * random.uniform();
  model.client_deadlines = random.chance(0.5) ? 0 : random.uniform();
  model.most_rows = random.chance(0.5) ? 1 : static_cast<int>(random.between(1, std::max(model.settings.max_batch, 1)));
  model.row_bytes = Bytes(log_between(random, 64, 1024 * kKiB));
  model.warms_up = random.chance(0.3);
  model.wanted_at = random.chance(0.7) ? Nanos(0) : scaled(model.base_time, 100 * random.uniform());
  // Some ask before it is ready.
  model.asks_from = random.chance(0.2) ? Nanos(0) : model.wanted_at + model.load_time + model.base_time;
  return model;
}

// A share of the device's time that all arrivals together ask for, split over the models.
void draw_rates(Random& random, Scenario& scenario) {
  double load = random.chance(0.7) ? 0.05 + 0.85 * random.uniform() : 1.0 + 2.0 * random.uniform();
  std::vector<double> parts;
  double sum = 0;
  for (size_t i = 0; i < scenario.models.size(); ++i) {
    parts.push_back(0.1 + random.uniform());
    sum += parts.back();
  }
  for (size_t i = 0; i < scenario.models.size(); ++i) {
    ModelTruth& model = scenario.models[i];
    double share = load * parts[i] / sum * scenario.options.cores.size();
    model.mean_gap = std::max(scaled(model.base_time, 1.0 / share), Nanos::from_micros(1));
  }
}

void draw_budget(Random& random, Scenario& scenario) {
  int64_t weights = 0, most_arena = 0;
  for (const ModelTruth& model : scenario.models) {
    weights += model.settings.on_demand ? 0 : std::max(model.weights.value, model.expected_weights.value);
    for (const BucketTruth& bucket : model.buckets) {
      weights += bucket.bytes.value;
      most_arena = std::max(most_arena, bucket.programs.back().arena.value);
    }
  }
  double room = random.uniform();
  if (room < 0.5)
    scenario.options.memory_budget = Bytes(4 * weights + (int64_t{8} << 30));  // loose
  else if (room < 0.9)
    scenario.options.memory_budget = Bytes(weights + most_arena + most_arena / 4);  // tight
  else
    scenario.options.memory_budget = Bytes(weights / 2 + most_arena);  // not all fit
}

}  // namespace

const ModelTruth* Scenario::model(InstanceId instance) const {
  for (const ModelTruth& m : models)
    if (m.instance == instance) return &m;
  return nullptr;
}

const BucketTruth* Scenario::bucket(const ModelTruth& model, brain::BucketId bucket) {
  for (const BucketTruth& b : model.buckets)
    if (b.bucket == bucket) return &b;
  return nullptr;
}

brain::ModelSettings draw_settings(Random& random, const ModelTruth& model) {
  brain::ModelSettings s;
  s.name = model.settings.name;
  s.version = 1;
  s.max_batch = model.settings.max_batch;
  s.on_demand = model.settings.on_demand;
  if (random.chance(0.6)) s.slo = scaled(model.base_time, 2.0 + 48.0 * random.uniform());
  s.allow_padding = s.max_batch > 0 && random.chance(0.3);
  s.dynamic_batching = s.max_batch > 0 && random.chance(0.7);
  if (s.dynamic_batching && random.chance(0.5)) s.max_queue_delay = scaled(model.base_time, 2.0 * random.uniform());
  if (s.dynamic_batching && random.chance(0.3)) s.preferred_batches = {std::max(1, s.max_batch / 2), s.max_batch};
  s.preserve_ordering = random.chance(0.25);
  s.max_queue = random.chance(0.6) ? 0 : static_cast<int>(log_between(random, 1, 64));
  if (random.chance(0.3)) {
    s.priority_levels = static_cast<int>(random.between(1, 4));
    s.default_priority = static_cast<int>(random.between(1, s.priority_levels));
  }
  return s;
}

// Short, urgent executions against long ones on few cores: what makes a loop preempt.
void draw_contention(Random& random, Scenario& scenario) {
  for (size_t i = 0; i < scenario.models.size(); ++i) {
    ModelTruth& model = scenario.models[i];
    bool urgent = i % 2 == 0;
    model.settings.slo = urgent ? model.base_time * random.between(4, 40) : kNever;
    model.settings.max_queue = 0;
    if (!urgent) model.client_deadlines = 0;
    if (urgent) model.burstiness = 0;
  }
}

Scenario draw_scenario(uint64_t seed) {
  Random random(seed, "scenario");
  Scenario out;
  out.seed = seed;
  int width =
      random.chance(0.4) ? static_cast<int>(random.between(1, 2)) : static_cast<int>(log_between(random, 1, 16));
  bool contended = random.chance(0.2);
  if (contended) width = std::min(width, 2);
  out.options.cores = CoreSet::range(random.chance(0.2) ? static_cast<int>(random.between(1, 70)) : 0, width);
  int64_t models = log_between(random, contended ? 2 : 1, 8);
  for (int64_t i = 1; i <= models; ++i) {
    auto us = log_between(random, 100, 100'000);
    if (contended) us = i % 2 == 1 ? std::min<int64_t>(us, 2'000) : us + 10'000;
    out.models.push_back(draw_model(random, static_cast<uint64_t>(i), width, Nanos::from_micros(us)));
  }
  if (contended) draw_contention(random, out);
  draw_budget(random, out);
  draw_rates(random, out);
  out.options.max_buckets = random.chance(0.7) ? 32 : static_cast<int>(random.between(1, 4));
  out.options.max_loads = static_cast<int>(random.between(1, 4));
  out.options.lateness_factor = static_cast<int>(random.between(3, 20));
  out.options.lateness_slack = Nanos::from_millis(log_between(random, 20, 5'000));
  if (random.chance(0.3)) out.options.load_bound = Nanos::from_millis(log_between(random, 100, 600'000));
  out.faults = draw_fault_rates(random);
  out.arrivals = static_cast<uint64_t>(log_between(random, 200, random.chance(0.1) ? 10'000 : 3'000));
  out.jitter = 0.15 * random.uniform();
  out.drawn_plans = random.chance(0.3);
  out.plan_time = Nanos::from_micros(log_between(random, 10, 500'000));
  out.report_delay = Nanos::from_micros(random.between(0, 200));
  return out;
}

std::string describe(const Scenario& scenario) {
  const brain::LoopOptions& o = scenario.options;
  std::string out = "cores " + o.cores.to_string() + ", budget " + std::to_string(o.memory_budget.value) + " bytes, " +
                    std::to_string(scenario.models.size()) + " models, at most " + std::to_string(o.max_buckets) +
                    " buckets each, late after " + std::to_string(o.lateness_factor) + " x predicted + " +
                    describe(o.lateness_slack) + ", loads bounded by " + describe(o.load_bound) + ", " +
                    std::to_string(scenario.arrivals) + " arrivals" + (scenario.drawn_plans ? ", drawn plans" : "") +
                    "; faults:";
  bool any = false;
  for (size_t f = 0; f < kFaultKinds; ++f) {
    if (scenario.faults[f] <= 0) continue;
    char rate[32];
    std::snprintf(rate, sizeof rate, " %.4f", scenario.faults[f]);
    out += (any ? ", " : " ") + std::string(fault_name(static_cast<Fault>(f))) + rate;
    any = true;
  }
  return out + (any ? "" : " none");
}

}  // namespace motet::sim
