// Workload: who asks, and what is asked of the configuration, in one trial. Each model's arrivals are a seeded stream
// of their own. Hands out events as values; the trial decides when. One thread at a time.
#pragma once

#include <vector>

#include "body/sim/scenario.h"

namespace motet::sim {

class Workload {
 public:
  // Both are borrowed and outlive the workload.
  Workload(const Scenario& scenario, Faults& faults);

  // How long until model `index` asks again, and what it asks then.
  Nanos gap(size_t index);
  brain::Arrived arrival(size_t index, Nanos now);
  // A query that asks for little and is in no hurry, for model `index`.
  brain::Arrived probe(size_t index, Nanos now);
  uint64_t arrivals() const { return next_query_ - 1; }

  brain::ConfigChanged wanted(size_t index);
  // As wanted(), with other settings.
  brain::ConfigChanged reconfigured(size_t index);
  // As wanted(), with settings under which nothing is refused for time or for a full queue.
  brain::ConfigChanged calmed(size_t index);
  brain::ConfigChanged unwanted(size_t index) const;

  // A query that exists, had existed, or never did: what a client may cancel by mistake.
  QueryId any_query();

 private:
  const Scenario& scenario_;
  Faults& faults_;
  std::vector<Random> streams_;                 // by model
  std::vector<brain::ModelSettings> settings_;  // as last told
  std::vector<int64_t> burst_left_;             // arrivals of a burst still to come
  uint64_t next_query_ = 1;
};

}  // namespace motet::sim
