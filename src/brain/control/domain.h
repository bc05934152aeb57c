// Domain: all state of one serving loop, with its budget and the actions of the present step. The files beside it
// change it: queues, answers, executions, lifecycle; loop.cpp calls them in turn. Internal to control/. One thread at a
// time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "brain/control/loop.h"
#include "brain/sched/state.h"

namespace motet::brain {

// Memory that may be charged. Never above its limit.
class Budget {
 public:
  explicit Budget(Bytes limit) : limit_(limit) {}
  bool fits(Bytes bytes) const { return bytes <= left(); }
  // REQUIRES: fits(bytes), bytes >= 0.
  void charge(Bytes bytes) {
    MOTET_CHECK(bytes >= Bytes(0) && fits(bytes), "a charge fits the budget");
    charged_ += bytes;
  }
  // REQUIRES: as much is charged.
  void release(Bytes bytes) {
    MOTET_CHECK(bytes >= Bytes(0) && bytes <= charged_, "a release was charged before");
    charged_ -= bytes;
  }
  Bytes charged() const { return charged_; }
  Bytes left() const { return limit_ - charged_; }
  Bytes limit() const { return limit_; }

 private:
  Bytes limit_;
  Bytes charged_;
};

// Answers of an instance that keeps order: by admission, each known or awaited.
using OrderedAnswers = std::map<uint64_t, std::pair<Query*, std::optional<Action>>>;

struct Domain {
  explicit Domain(const LoopOptions& o) : options(o), free(o.cores), budget(o.memory_budget) {}

  // Constant after construction.
  LoopOptions options;
  std::unique_ptr<const Dispatcher> dispatcher;
  Nanos patience = kNever;  // the policy's starvation bound

  Nanos now{INT64_MIN};
  uint64_t last_sequence = 0;
  uint64_t last_execution = 0;
  uint64_t last_use = 0;
  uint64_t plan_asked = 0;  // epochs
  uint64_t plan_applied = 0;
  Nanos plan_asked_at;

  std::map<InstanceId, Instance> instances;
  std::map<QueryId, Query> queries;
  std::map<ExecutionId, Execution> executions;
  CoreSet free;
  CoreSet stuck;  // held by executions that are stuck
  Budget budget;
  PolicyState policy;

  // Indexes over the above.
  Ready ready;
  std::set<std::tuple<Nanos, InstanceId, BucketId>> deadlines;    // earliest of each bucket's queue
  std::set<std::pair<Nanos, ExecutionId>> bounds;                 // of executions
  std::set<std::tuple<Nanos, InstanceId, BucketId>> load_bounds;  // bucket 0: the instance
  std::set<InstanceId> draining;                                  // and not yet asked to unload
  std::set<InstanceId> crowded;                                   // with buckets that wait for a place
  std::map<std::pair<InstanceId, BucketId>, Bytes> loading;       // of models on demand: what each is expected to take
  std::set<std::pair<InstanceId, BucketId>> retired;              // and still there
  std::map<InstanceId, OrderedAnswers> ordered;

  // When the first of those that wait for room will no longer wait for what is worth less than what it can have.
  Nanos room_at = kNever;
  // Charged for what no load of a model on demand can take the place of; absent when it is to be summed anew.
  std::optional<Bytes> stays;

  Nanos armed = kNever;  // the earliest WakeAt not yet passed
  std::vector<Action> actions;
};

// Sets `key` of one thing in an index of (instant, id...) from `before` to `after`; kNever means absent.
template <class Index, class... Id>
void move_key(Index& index, Nanos& before, Nanos after, Id... id) {
  if (before == after) return;
  if (before != kNever) index.erase({before, id...});
  if (after != kNever) index.insert({after, id...});
  before = after;
}

inline std::string model_text(const Instance& instance) {
  const ModelSettings& s = instance.settings;
  return "model " + s.name + (s.version > 0 ? " version " + std::to_string(s.version) : "");
}

}  // namespace motet::brain
