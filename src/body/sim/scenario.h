// Scenario: the world of one trial, drawn from its seed: the device's cores, the memory budget, the models with their
// true step times, who asks how often, and what goes wrong. A plain value; the same seed gives the same scenario
// everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "body/sim/faults.h"
#include "brain/control/event.h"
#include "brain/control/loop.h"

namespace motet::sim {

// The programs of one bucket, with what the loop is told (features) and what is true (bias).
struct BucketTruth {
  brain::BucketId bucket = 0;
  std::vector<brain::ProgramFeatures> programs;  // ascending batch
  std::vector<std::vector<double>> bias;         // [program][width-1]: true time over predicted time
  Bytes bytes;                                   // packed weights that its load adds
  Nanos load_time;
};

struct ModelTruth {
  InstanceId instance;
  brain::ModelSettings settings;  // the first ones
  Bytes weights;                  // what its load really takes; on demand: nothing, its buckets take it
  Bytes expected_weights;         // what the loop is told before
  Nanos load_time, unload_time;
  Nanos base_time;  // one row on one core, first bucket
  std::vector<BucketTruth> buckets;

  Nanos mean_gap;               // between arrivals
  double burstiness = 0;        // chance that the next arrival comes at once
  double client_deadlines = 0;  // share of queries that bring one
  int most_rows = 1;            // of one query
  Bytes row_bytes;
  Nanos wanted_at;        // its first ConfigChanged
  Nanos asks_from;        // its first arrivals
  bool warms_up = false;  // the body loads its first bucket by itself
};

struct Scenario {
  uint64_t seed = 0;
  brain::LoopOptions options;
  std::vector<ModelTruth> models;
  FaultRates faults{};
  uint64_t arrivals = 0;     // of all models; then the faults end
  double jitter = 0;         // of one execution's time, at most this share up or down
  bool drawn_plans = false;  // plans split the cores at random, else the loop's own planner answers
  Nanos plan_time;           // how long planning takes
  Nanos report_delay;        // between the device and the loop

  // Null when there is none.
  const ModelTruth* model(InstanceId instance) const;
  // Null for a bucket that no load ever offers.
  static const BucketTruth* bucket(const ModelTruth& model, brain::BucketId bucket);
};

Scenario draw_scenario(uint64_t seed);
// The world in a few lines, for the head of a failing seed's trail.
std::string describe(const Scenario& scenario);
// Other settings for the same model: what a changed configuration file says.
brain::ModelSettings draw_settings(Random& random, const ModelTruth& model);

}  // namespace motet::sim
