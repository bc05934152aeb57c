// Runner: carries out Start, Yield, Resume, Resize and Kill on the worker pool, step by step, and reports back as
// events. All functions are called from the loop's thread; the sink is called from workers. A run is kept until
// forget(), which the loop's thread calls once it has seen the run's Finished or Failed.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/core_set.h"
#include "base/id.h"
#include "base/observe/metrics.h"
#include "brain/control/event.h"
#include "compute/device/pool.h"
#include "compute/engine/execution.h"

namespace motet::serve {

class Runner {
 public:
  using Sink = std::function<void(brain::Event)>;

  // `pool`, `clock` and `step_seconds` outlive the runner.
  Runner(device::Pool& pool, const Clock& clock, observe::Histogram& step_seconds, Sink sink);
  // REQUIRES: no run is on a worker.
  ~Runner();

  // REQUIRES: the id is new; `cores` is not empty and of the pool.
  void start(ExecutionId id, std::unique_ptr<engine::Execution> execution, const CoreSet& cores);
  // Each is without effect on an unknown id or a run that has ended.
  void yield(ExecutionId id);
  void resume(ExecutionId id, const CoreSet& cores);
  void resize(ExecutionId id, const CoreSet& cores);
  void kill(ExecutionId id);
  // The loop's thread has taken the run's paused Progress: it is on no worker now.
  void paused(ExecutionId id);

  // The execution of a run that is known, or nullptr. Its outputs may be read once it has finished.
  const engine::Execution* find(ExecutionId id) const;
  void forget(ExecutionId id);
  size_t size() const { return runs_.size(); }

 private:
  struct Run;
  void submit(const std::shared_ptr<Run>& run, const CoreSet& cores);
  void enqueue(const std::shared_ptr<Run>& run, int leader);
  void drive(const std::shared_ptr<Run>& run);

  device::Pool& pool_;
  const Clock& clock_;
  observe::Histogram& step_seconds_;
  const Sink sink_;
  std::map<ExecutionId, std::shared_ptr<Run>> runs_;  // loop's thread only
};

}  // namespace motet::serve
