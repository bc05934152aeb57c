// The worker pool: the only source of compute threads in the process. One pinned worker a core, as many as the cgroup
// quota allows (floor, at least 1). An execution is a task on one worker, its leader; an op forks onto the other cores
// of the partition it was given (team.h) and onto no others. Workers wait by spinning briefly, then sleeping on a
// futex; under a fractional quota they sleep at once.
//
// Core numbers here are the pool's own, 0 .. size()-1; cpu_of() gives the machine's CPU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/core_set.h"
#include "base/result.h"

namespace motet::device {

struct PoolOptions {
  int workers = 0;         // 0: from the machine (affinity mask and cgroup quota)
  bool pin = true;         // false in tests that run side by side
  int spin_pauses = 4000;  // pauses before a waiting worker sleeps; 0 under a fractional quota
};

// What the machine lets this process use: affinity mask, cgroup v1 or v2 cpu quota.
struct CpuBudget {
  std::vector<int> cpus;         // CPUs this process may run on
  double quota_cores = 0;        // cgroup quota in cores; 0 when unlimited
  int workers = 1;               // max(1, floor(min(cpus, quota)))
  bool fractional = false;       // the quota has a fractional rest: waiting must not burn it
  std::string describe() const;  // one line for the start-up log
};
CpuBudget read_cpu_budget();

// A function and its argument; the pool never owns either.
struct Task {
  void (*run)(void* argument) = nullptr;
  void* argument = nullptr;
};

class Pool {
 public:
  // At most one pool with `pin` may exist in a process.
  static Result<std::unique_ptr<Pool>> create(const PoolOptions& options);
  virtual ~Pool() = default;  // joins; REQUIRES: no task queued or running

  virtual int size() const = 0;
  CoreSet cores() const { return CoreSet::range(0, size()); }
  virtual int cpu_of(int core) const = 0;
  // Queues `task` on worker `leader`; tasks of one worker run one after another in order. Any thread. Never blocks.
  virtual void submit(int leader, Task task) = 0;
  // CPU time that worker `core` has used, for core-use figures. Any thread.
  virtual int64_t busy_ns(int core) const = 0;
};

}  // namespace motet::device
