// Plain features: what decisions know of models, programs and plans. Values; the words of events and actions
// (control/event.h) and of policies alike.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/core_set.h"
#include "base/id.h"
#include "base/units.h"

namespace motet::brain {

// Input shapes without the batch extent, hashed by the body: queries of one bucket of one instance can be one batch.
using BucketId = uint64_t;

// What a model's configuration says that concerns decisions.
struct ModelSettings {
  std::string name;  // for reasons and metrics only
  int64_t version = 0;
  int max_batch = 0;              // rows; 0: the model has no batch extent, each query runs alone
  Nanos slo = kNever;             // from arrival; kNever: none, and nothing is shed for time
  double slo_attainment = 0.99;   // share of queries promised within the SLO
  bool allow_padding = false;     // a batch may be padded up to a compiled size
  bool dynamic_batching = false;  // queries of different clients may be one batch
  Nanos max_queue_delay{0};       // how long a batch may wait to grow when cores are free
  std::vector<int> preferred_batches;
  bool preserve_ordering = false;  // answers in order of arrival
  int max_queue = 0;               // queries; 0: no limit
  int priority_levels = 0;         // 0: one level; else 1 (highest) .. priority_levels
  int default_priority = 0;
  bool on_demand = false;  // its programs are loaded when a query needs them, and dropped when memory is needed
  friend bool operator==(const ModelSettings&, const ModelSettings&) = default;
};

// One compiled program, as far as decisions need it.
struct ProgramFeatures {
  int batch = 1;                 // rows it runs
  Bytes arena;                   // charged while an execution of it exists
  std::vector<Nanos> predicted;  // [w-1]: time at width w
  // [w-1]: the longest stretch at width w that nothing interrupts; empty: none longer than a quantum.
  std::vector<Nanos> longest_step;
  friend bool operator==(const ProgramFeatures&, const ProgramFeatures&) = default;
};

// One program run inside an execution.
struct StartPart {
  int batch = 1;  // the program's batch size
  int rows = 1;   // rows it is given; fewer means padding
  friend bool operator==(const StartPart&, const StartPart&) = default;
};
// Why a query is refused before it ran.
enum class ShedReason : uint8_t {
  kDeadlinePassed,       // it has passed
  kDeadlineUnreachable,  // by prediction it cannot be met
  kQueueFull,
  kOverBudget,  // memory
  kNotReady,    // loading, draining, unloaded or failed
};
// What a Planner decides for one instance.
struct PlanShare {
  InstanceId instance;
  CoreSet cores;      // where its executions may run
  int max_batch = 0;  // rows; 0: the model's own limit
  friend bool operator==(const PlanShare&, const PlanShare&) = default;
};
// The slow decision (planner.h), as it reaches the loop.
struct PlanReady {
  uint64_t epoch = 0;
  std::vector<PlanShare> shares;
  friend bool operator==(const PlanReady&, const PlanReady&) = default;
};
}  // namespace motet::brain
