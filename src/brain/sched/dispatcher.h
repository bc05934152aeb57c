// Dispatcher: the fast decision, at each event: what runs next, on which cores, in which batch; what yields; what is
// shed. A function from a const view of the loop's state to one decision; the loop applies it and asks again until the
// answer is Wait. It calls nothing and keeps nothing: what a policy must remember is a PolicyState, which the loop
// owns. The loop checks every decision against what is universal (cores free, memory left, queries waiting) and aborts
// on one that breaks it. Loop's thread only.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "brain/sched/state.h"

namespace motet::brain {

// References into the loop's state: valid during one call.
struct DispatchView {
  Nanos now;
  const CoreSet& free;  // held by no execution
  const Ready& ready;
  const std::map<InstanceId, Instance>& instances;
  const std::map<ExecutionId, Execution>& executions;
  Bytes memory_left;
};

// What a policy remembers between decisions (tokens, deficits, windows), as numbers per instance; 0 for the domain.
struct PolicyState {
  std::map<uint64_t, std::vector<int64_t>> numbers;
  friend bool operator==(const PolicyState&, const PolicyState&) = default;
};

struct StartBatch {
  const Bucket* bucket = nullptr;
  std::vector<const Query*> queries;  // of its queue, in batch order
  std::vector<StartPart> parts;
  CoreSet cores;
};
// For want of memory (kOverBudget) the loop first has programs give way that nobody runs, and asks again if any did.
struct ShedQuery {
  const Query* query = nullptr;  // of a queue
  ShedReason reason = ShedReason::kDeadlineUnreachable;
  Error error;
};
struct YieldExecution {
  ExecutionId execution;
};
struct ResumeExecution {
  ExecutionId execution;
  CoreSet cores;
};
struct ResizeExecution {
  ExecutionId execution;
  CoreSet cores;
};
struct KillExecution {
  ExecutionId execution;
  Error error;
};
// Nothing to do before `until`, unless an event comes.
struct Wait {
  Nanos until = kNever;
};

using Decision =
    std::variant<Wait, StartBatch, ShedQuery, YieldExecution, ResumeExecution, ResizeExecution, KillExecution>;

// What a policy is tested for, beside what is universal.
struct Promises {
  bool preemptive = false;      // an urgent query does not wait for the end of a less urgent execution
  bool batching = false;        // queries of one bucket run together
  bool deadline_aware = false;  // orders by deadline and sheds what cannot meet its own
  // A query without deadline is taken before any that became due later than this after its arrival. kNever: no promise.
  Nanos starvation_bound = kNever;
};

class Dispatcher {
 public:
  virtual ~Dispatcher() = default;
  virtual Promises promises() const = 0;
  virtual Decision next(const DispatchView& view, PolicyState& state) const = 0;
};

struct DispatcherEntry {
  std::string_view name;
  std::string_view what;  // one line for --help
  std::unique_ptr<Dispatcher> (*make)();
};
// The explicit list, in dispatchers.cpp.
std::span<const DispatcherEntry> dispatchers();

}  // namespace motet::brain
