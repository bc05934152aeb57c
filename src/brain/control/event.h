// Events and actions: all that the serving loop of a domain hears and says. A query is a handle and plain features,
// never a tensor. Both are values, encoded bit for bit by codec.h, so that a recorded run can be replayed.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/core_set.h"
#include "base/id.h"
#include "base/result.h"
#include "base/units.h"
#include "brain/sched/features.h"

namespace motet::brain {

// ---- events
// -----------------------------------------------------------------------------------------------------------
struct Arrived {
  QueryId query;
  InstanceId instance;
  BucketId bucket = 0;
  int rows = 1;
  Bytes bytes;              // of inputs, charged until the answer
  Nanos arrived_at;         // first readable byte, or the arrival of a call's headers
  Nanos deadline = kNever;  // earliest of the client's deadline and the request's `timeout`; the loop adds the SLO
  int priority = 0;         // 0: the model's default
  TenantId tenant;
  friend bool operator==(const Arrived&, const Arrived&) = default;
};
struct Cancelled {
  QueryId query;
  friend bool operator==(const Cancelled&, const Cancelled&) = default;
};
// An execution moved on; `paused`: it has yielded and its cores are free.
struct Progress {
  ExecutionId execution;
  int64_t steps_done = 0;
  int64_t steps_total = 0;
  bool paused = false;
  friend bool operator==(const Progress&, const Progress&) = default;
};
// An execution ended well; its cores are free.
struct Finished {
  ExecutionId execution;
  Nanos busy;  // measured time on the cores, without pauses
  friend bool operator==(const Finished&, const Finished&) = default;
};
// An execution ended badly or was killed (its cores are free), or a load failed. Exactly one of the two ids is set.
struct Failed {
  ExecutionId execution;
  InstanceId instance;
  BucketId bucket = 0;  // of a load: which bucket; 0 for the instance as a whole
  Error error;
  friend bool operator==(const Failed&, const Failed&) = default;
};
// A Load is done: the instance as a whole (bucket 0: read, weights in place), or the programs of one bucket, warmed up.
// Of a bucket that is there already: it has these programs now, all that it had among them.
struct Loaded {
  InstanceId instance;
  BucketId bucket = 0;
  Bytes bytes;                            // weights and packed weights that this load added; of a bucket: all its own
  std::vector<ProgramFeatures> programs;  // ascending batch; empty for bucket 0
  friend bool operator==(const Loaded&, const Loaded&) = default;
};
struct Unloaded {
  InstanceId instance;
  friend bool operator==(const Unloaded&, const Unloaded&) = default;
};
// PlanReady (sched/features.h): the slow decision has been made.
struct Tick {
  friend bool operator==(const Tick&, const Tick&) = default;
};
// A model version is wanted (loaded if it is not, re-configured if it is) or no longer wanted (drained, then unloaded).
struct ConfigChanged {
  InstanceId instance;
  bool wanted = true;
  ModelSettings settings;  // when wanted
  // Weights, from the file's size: charged before loading begins; on demand, what its programs are expected to take.
  Bytes expected_bytes;
  friend bool operator==(const ConfigChanged&, const ConfigChanged&) = default;
};

// Queries will go to other buckets: the programs of this one may go once nothing waits for them or runs them.
struct Retired {
  InstanceId instance;
  BucketId bucket = 0;
  friend bool operator==(const Retired&, const Retired&) = default;
};

using Event = std::variant<Arrived, Cancelled, Progress, Finished, Failed, Loaded, Unloaded, PlanReady, Tick,
                           ConfigChanged, Retired>;

// ---- actions
// ----------------------------------------------------------------------------------------------------------
struct Start {
  ExecutionId execution;
  InstanceId instance;
  BucketId bucket = 0;
  std::vector<QueryId> queries;  // in batch order
  std::vector<StartPart> parts;  // rows sum to the queries' rows
  CoreSet cores;
  friend bool operator==(const Start&, const Start&) = default;
};
struct Yield {
  ExecutionId execution;
  friend bool operator==(const Yield&, const Yield&) = default;
};
struct Resume {
  ExecutionId execution;
  CoreSet cores;
  friend bool operator==(const Resume&, const Resume&) = default;
};
struct Resize {
  ExecutionId execution;
  CoreSet cores;
  friend bool operator==(const Resize&, const Resize&) = default;
};
// Stop at the next step; the body answers with Failed (kCancelled), or with Finished if it was too late.
struct Kill {
  ExecutionId execution;
  friend bool operator==(const Kill&, const Kill&) = default;
};
// The one answer of a query that was admitted. `error` is set when it failed; else the outputs of `execution` are its
// own.
struct Reply {
  QueryId query;
  ExecutionId execution;  // 0 when it never ran
  bool ok = true;
  Error error;
  friend bool operator==(const Reply&, const Reply&) = default;
};
// The one answer of a query that was refused before it ran.
struct Shed {
  QueryId query;
  ShedReason reason = ShedReason::kDeadlinePassed;
  Error error;
  friend bool operator==(const Shed&, const Shed&) = default;
};
// bucket 0: bring the instance in; else compile and warm up the programs of that bucket.
struct Load {
  InstanceId instance;
  BucketId bucket = 0;
  friend bool operator==(const Load&, const Load&) = default;
};
// bucket 0: the instance goes; answered by Unloaded. Else only that bucket's programs go; not answered.
struct Unload {
  InstanceId instance;
  BucketId bucket = 0;
  friend bool operator==(const Unload&, const Unload&) = default;
};
struct Plan {
  uint64_t epoch = 0;
  friend bool operator==(const Plan&, const Plan&) = default;
};
struct WakeAt {
  Nanos at;
  friend bool operator==(const WakeAt&, const WakeAt&) = default;
};

using Action = std::variant<Start, Yield, Resume, Resize, Kill, Reply, Shed, Load, Unload, Plan, WakeAt>;

}  // namespace motet::brain
