// The serving loop of a domain: one single-threaded state machine. step(event, now) returns actions and calls nothing.
// The body (serve/ or sim/) carries the actions out and brings the consequences back as events. Equal inputs give equal
// actions.
//
// Promises, whatever the policy: every Arrived is answered exactly once, by Reply or Shed; cores of running executions
// are disjoint unless a plan shares them; charged memory never exceeds the budget; a completion that does not come
// within its bound fails its queries with the reason while its cores stay charged until the device reports them free;
// nothing waits for ever. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/core_set.h"
#include "brain/control/event.h"
#include "brain/sched/dispatcher.h"
#include "brain/sched/planner.h"

namespace motet::brain {

struct LoopOptions {
  CoreSet cores;                          // of the domain's device
  Bytes memory_budget{int64_t{8} << 30};  // queries, arenas, weights
  std::string dispatcher = "edf";         // a name from sched::dispatchers()
  std::string planner = "shared";         // a name from sched::planners()
  int max_buckets = 32;                   // compiled shape buckets kept per instance
  // An execution that has not reported within lateness_factor x predicted + lateness_slack is late: its queries fail.
  int lateness_factor = 20;
  Nanos lateness_slack = Nanos::from_seconds(5);
  // A Load that has not been answered within this, and a query whose shape cannot be loaded for as long, fail.
  Nanos load_bound = Nanos::from_seconds(600);
  int max_loads = 2;  // loads of models on demand that are under way at a time
  friend bool operator==(const LoopOptions&, const LoopOptions&) = default;
};

// Lifecycle is in sched/state.h: kLoading, kWarmingUp, kReady, kDraining, kUnloaded, kFailed.
std::string_view lifecycle_name(Lifecycle state);  // "loading", ...

struct InstanceStatus {
  InstanceId instance;
  Lifecycle state = Lifecycle::kLoading;
  Error reason;     // why it failed
  int queued = 0;   // queries
  int running = 0;  // executions
};

class Loop {
 public:
  // An Error names an unknown policy and lists the known ones.
  static Result<std::unique_ptr<Loop>> create(const LoopOptions& options);
  virtual ~Loop() = default;

  // The actions are valid until the next call. REQUIRES: now does not go back. A clock that jumps forward is fine.
  virtual std::span<const Action> step(const Event& event, Nanos now) = 0;

  // For status pages and metrics; const views of the state. Same thread as step().
  virtual std::vector<InstanceStatus> status() const = 0;
  virtual Bytes charged() const = 0;
  // What a Planner is given when a Plan action says so; the body runs the planner elsewhere on this copy and answers
  // PlanReady.
  virtual PlanInput plan_input() const = 0;
};

}  // namespace motet::brain
