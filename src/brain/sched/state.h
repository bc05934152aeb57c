// What a domain's loop knows, as data: instances with their buckets and queues, queries, executions. The loop
// (control/) owns and changes it; a policy is given const references to it (dispatcher.h). Ordered by ids and instants
// only, never by address. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/core_set.h"
#include "base/result.h"
#include "brain/predict/frequency.h"
#include "brain/predict/latency.h"
#include "brain/sched/features.h"

namespace motet::brain {

struct Instance;
struct Bucket;
struct Execution;

// A query from its admission to its answer.
struct Query {
  QueryId id;
  uint64_t sequence = 0;  // order of admission
  Bucket* bucket = nullptr;
  int rows = 1;
  Bytes bytes;  // charged until the answer
  Nanos arrived_at;
  Nanos admitted_at;
  Nanos deadline = kNever;  // the client's, the request's and the SLO, whichever is first
  Nanos due;                // orders queries: the deadline, or without one arrival plus the policy's starvation bound
  int level = 0;            // priority, 0 first
  bool ordered = false;     // answered in order of admission
  bool decided = false;     // its answer is known and held back for the order's sake
  Execution* execution = nullptr;
  Query* older = nullptr;  // in its queue, by admission
  Query* newer = nullptr;

  bool timed() const { return deadline != kNever; }
};

struct ByDue {
  bool operator()(const Query* a, const Query* b) const {
    return a->due != b->due ? a->due < b->due : a->sequence < b->sequence;
  }
};
using QuerySet = std::set<Query*, ByDue>;

// Queries of one priority. Timed ones are ordered by deadline, the others by arrival.
struct Level {
  QuerySet timed;
  QuerySet untimed;
};

// The queries of one bucket of one instance that wait.
struct Queue {
  std::map<int, Level> levels;  // those that are not empty
  Query* oldest = nullptr;
  Query* newest = nullptr;
  int queries = 0;
  int64_t rows = 0;

  bool empty() const { return queries == 0; }
  // The least `due`, or nullptr when empty.
  const Query* most_due() const;
  // The least deadline, or kNever.
  Nanos earliest_deadline() const;

  // Calls take(const Query&) in the order in which queries should run until it returns false: those without deadline
  // that have waited beyond the starvation bound first, by due; then level by level, by due.
  template <class F>
  void in_order(Nanos now, F&& take) const {
    if (!overdue_in_order(now, take)) return;
    for (const auto& [number, level] : levels) {
      auto t = level.timed.begin(), u = level.untimed.begin();
      while (u != level.untimed.end() && (*u)->due <= now) ++u;
      while (t != level.timed.end() || u != level.untimed.end()) {
        bool timed = u == level.untimed.end() || (t != level.timed.end() && ByDue()(*t, *u));
        if (!take(timed ? **t++ : **u++)) return;
      }
    }
  }

 private:
  // A merge of the levels' overdue ones; false when take() has had enough.
  template <class F>
  bool overdue_in_order(Nanos now, F&& take) const {
    std::vector<std::pair<QuerySet::const_iterator, QuerySet::const_iterator>> merged;
    for (const auto& [number, level] : levels)
      if (!level.untimed.empty() && (*level.untimed.begin())->due <= now)
        merged.emplace_back(level.untimed.begin(), level.untimed.end());
    while (!merged.empty()) {
      auto first = merged.begin();
      for (auto at = first; at != merged.end(); ++at)
        if (ByDue()(*at->first, *first->first)) first = at;
      if (!take(**first->first)) return false;
      if (++first->first == first->second || (*first->first)->due > now) merged.erase(first);
    }
    return true;
  }
};

// A compiled program with what its runs have taught.
struct Program {
  ProgramFeatures features;
  ProgramLatency latency;
};

enum class BucketPhase : uint8_t { kWanted, kLoading, kReady };

// One shape bucket of an instance: its programs and its queue.
struct Bucket {
  BucketId id = 0;
  Instance* instance = nullptr;
  BucketPhase phase = BucketPhase::kWanted;
  Nanos bound_at = kNever;        // when a load, or the wait for one, has taken too long
  Nanos load_began = kNever;      // while it is loading
  Nanos wanted_since;             // while it is wanted
  std::vector<Program> programs;  // ascending batch; not empty when ready
  Queue queue;
  int executions = 0;
  uint64_t last_used = 0;  // rises with every use
  Nanos last_started;      // an execution of it; before the first, when it became ready
  Bytes bytes;             // charged for its programs

  // Under which it stands in Ready and in Deadlines; kept by the loop.
  std::optional<std::pair<Nanos, uint64_t>> ready_key;
  Nanos deadline_key = kNever;
};

enum class Lifecycle : uint8_t { kLoading, kWarmingUp, kReady, kDraining, kUnloaded, kFailed };

struct Instance {
  InstanceId id;
  ModelSettings settings;
  Lifecycle state = Lifecycle::kLoading;
  Error reason;             // why it failed
  CoreSet share;            // cores it may use
  int share_max_batch = 0;  // rows, from the plan; 0: no limit of its own
  std::map<BucketId, Bucket> buckets;
  int queued = 0;             // queries
  int running = 0;            // executions not reported ended
  uint64_t arrivals = 0;      // since the last plan
  double arrivals_per_s = 0;  // before the last plan
  Bytes bytes;                // charged for weights
  Bytes expected_bytes;       // of weights, as configured
  // Requests to the body that it has not answered, and what to do then.
  bool load_pending = false;
  bool unload_pending = false;
  bool load_again = false;  // wanted again while its Unload is under way
  Nanos bound_at = kNever;  // when the load has taken too long
  // Of a model on demand: how often it is asked for, what its last load took, and what the shortest of late did: the
  // rest was waiting for loads of others.
  Frequency asked;
  Nanos load_time, shortest_load;
  Bytes load_bytes;
  // Unloaded since the instance came in: a late Loaded of one is stale.
  std::set<BucketId> dropped;

  bool serves() const { return state == Lifecycle::kReady || state == Lifecycle::kDraining; }
  // Rows that one batch may have. A query with more runs alone.
  int batch_limit() const {
    int limit = settings.max_batch > 0 ? settings.max_batch : 1;
    return share_max_batch > 0 && share_max_batch < limit ? share_max_batch : limit;
  }
};

enum class ExecutionPhase : uint8_t {
  kRunning,
  kYielding,  // asked to pause; its cores are still its own
  kPaused,    // holds its arena and no cores
  kDying,     // killed; holds what it held until the device reports
};

struct Execution {
  ExecutionId id;
  Bucket* bucket = nullptr;
  std::vector<Query*> queries;  // nullptr where the query has been answered already
  int live = 0;                 // queries not answered
  std::vector<StartPart> parts;
  CoreSet cores;  // held now; empty while paused
  Bytes arena;    // charged
  ExecutionPhase phase = ExecutionPhase::kRunning;
  LatencyBounds predicted;      // of the whole run at its present width
  Nanos longest_step;           // of its programs at this width: what a yield may have to wait for; 0: a quantum
  Nanos ran;                    // on cores, before the last resume
  Nanos resumed_at;             // start of the present stretch on cores
  Nanos due = kNever;           // least of its queries
  Nanos deadline = kNever;      // least of its queries
  Nanos bound_at = kNever;      // when it counts as late (running) or stuck (dying)
  int64_t steps_at_pause = -1;  // of the last pause
  bool disturbed = false;       // paused or resized: its time teaches nothing
  bool stuck = false;           // killed and not reported within its bound

  // Time on cores so far.
  Nanos elapsed(Nanos now) const { return cores.empty() ? ran : ran + (now - resumed_at); }
};

// Buckets that are ready and have queries, the most due first: (due, sequence of that query).
using Ready = std::map<std::pair<Nanos, uint64_t>, Bucket*>;

}  // namespace motet::brain
