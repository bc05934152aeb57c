// Planner: the slow decision, each epoch and off the loop's path: which cores each instance may use and how large its
// batches may grow. A pure function of PlanInput; runs on any thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/core_set.h"
#include "brain/sched/features.h"

namespace motet::brain {

struct PlanInput {
  uint64_t epoch = 0;
  CoreSet cores;
  struct Demand {
    InstanceId instance;
    ModelSettings settings;
    std::vector<ProgramFeatures> programs;  // of its most used bucket
    double arrivals_per_s = 0;              // since the last epoch
  };
  std::vector<Demand> demands;
};

class Planner {
 public:
  virtual ~Planner() = default;
  virtual std::string_view name() const = 0;
  virtual PlanReady plan(const PlanInput& input) const = 0;
};

struct PlannerEntry {
  std::string_view name;
  std::string_view what;  // one line for --help
  std::unique_ptr<Planner> (*make)();
};
// The explicit list, in planners.cpp.
std::span<const PlannerEntry> planners();

}  // namespace motet::brain
