// Books: the checker's own record of what the loop was told and what it did, kept apart from the loop's. Charges are
// kept as a range, because the loop may free some bytes a little earlier or later than the last instant at which it
// must. Plain values; one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "brain/control/event.h"

namespace motet::sim {

enum class QueryState : uint8_t { kQueued, kStarted, kAnswered };

struct QueryBook {
  brain::Arrived arrived;
  QueryState state = QueryState::kQueued;
  Nanos told_at;            // when the loop heard of it
  Nanos deadline = kNever;  // the client's or the SLO as it was at arrival, whichever is first
  int priority = 0;         // 0: of a model with one level
  uint64_t settings = 0;    // of its instance, at arrival
  ExecutionId execution;    // that it was started in
  bool ordered = false;     // its model preserved order at arrival
  bool cancelled = false;
  bool ok = false;              // its answer
  Code code = Code::kInternal;  // of a refusal or failure
};

struct ExecutionBook {
  brain::Start start;
  Nanos at;
  Nanos predicted;  // its parts', at the width it was started on
  Bytes arena_least, arena_most;
  bool told = false;  // the loop has heard that it ended
  bool told_well = false;
  Nanos told_at;
  bool yielding = false;  // asked to pause, and not known to have
  bool paused = false;
  bool disturbed = false;  // yielded or resized: its bound is no longer simple
};

struct BucketBook {
  bool loaded = false;   // else loading
  bool unasked = false;  // the body brought it by itself, and the loop need not have taken it
  Bytes bytes;
  std::vector<brain::ProgramFeatures> programs;
  Nanos asked_at;  // when its load was asked for
  Nanos tried_at;  // its last Start, or the end of its load
};

enum class Presence : uint8_t { kAbsent, kLoading, kLoaded, kUnloading };

struct InstanceBook {
  InstanceId instance;
  bool wanted = false;
  bool failed = false;          // its last load, since it was last wanted
  uint64_t settings_count = 0;  // rises with each ConfigChanged
  brain::ModelSettings settings;
  Presence presence = Presence::kAbsent;
  Bytes expected, bytes;
  Bytes leaving;  // of buckets, while it unloads
  Nanos load_asked_at;
  std::map<brain::BucketId, BucketBook> buckets;
  std::map<brain::BucketId, Nanos> asked_for;  // buckets that queries wait for, and since when
  std::set<brain::BucketId> failed_buckets;    // since it was last loaded
  std::set<QueryId> unanswered;                // ids rise with arrival
  std::set<QueryId> queued;                    // of these, the ones not started
  double slowest = 1;                          // busy time over prediction, of all that finished
  int running = 0;                             // executions that the loop has not heard the end of
};

struct Charges {
  Bytes least, most;
};

struct Books {
  std::vector<QueryBook> queries;  // [id - 1]
  std::map<ExecutionId, ExecutionBook> executions;
  std::vector<ExecutionId> running;  // the loop has not heard the end of them
  std::map<InstanceId, InstanceBook> instances;
  std::vector<brain::PlanReady> plans;  // since the last one that certainly counts, it among them
  uint64_t asked_epoch = 0;             // of the last Plan
  Bytes query_bytes;                    // of queries admitted and not answered

  // Null when there is none.
  QueryBook* query(QueryId id) { return id.value == 0 || id.value > queries.size() ? nullptr : &queries[id.value - 1]; }
  InstanceBook* instance(InstanceId id) {
    auto it = instances.find(id);
    return it == instances.end() ? nullptr : &it->second;
  }
  ExecutionBook* execution(ExecutionId id) {
    auto it = executions.find(id);
    return it == executions.end() ? nullptr : &it->second;
  }

  Charges charges() const {
    Charges c{query_bytes, query_bytes};
    for (ExecutionId id : running) {
      const ExecutionBook& e = executions.at(id);
      c.least += e.arena_least;
      c.most += e.arena_most;
    }
    for (const auto& [id, instance] : instances) {
      c.most += instance.leaving;
      if (instance.presence == Presence::kUnloading) c.most += instance.bytes;
      Bytes weights;
      if (instance.presence == Presence::kLoading) weights = instance.expected;
      if (instance.presence == Presence::kLoaded) weights = instance.bytes;
      c.least += weights;
      c.most += weights;
      for (const auto& [bucket, book] : instance.buckets) {
        c.most += book.bytes;
        if (!book.unasked) c.least += book.bytes;
      }
    }
    return c;
  }
};

}  // namespace motet::sim
