#include "body/serve/runner.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "compute/device/team.h"

namespace motet::serve {
namespace {
// What a run has been asked to do at its next step.
constexpr unsigned kPause = 1;
constexpr unsigned kKill = 2;
constexpr unsigned kResize = 4;
}  // namespace

struct Runner::Run {
  // Constant after construction.
  Runner* runner = nullptr;
  ExecutionId id;
  std::unique_ptr<engine::Execution> execution;

  // Synchronises itself.
  std::atomic<unsigned> asked{0};

  // Handed from thread to thread by the pool's queue and, for a resize, guarded by the lock.
  std::mutex mutex;
  CoreSet cores;
  Nanos busy;

  // Loop's thread only.
  bool on_worker = false;
  bool ended = false;

  // Keeps the run alive while a worker has it queued or running.
  std::shared_ptr<Run> self;
};

Runner::Runner(device::Pool& pool, const Clock& clock, observe::Histogram& step_seconds, Sink sink)
    : pool_(pool), clock_(clock), step_seconds_(step_seconds), sink_(std::move(sink)) {}

Runner::~Runner() = default;

void Runner::start(ExecutionId id, std::unique_ptr<engine::Execution> execution, const CoreSet& cores) {
  auto run = std::make_shared<Run>();
  run->runner = this;
  run->id = id;
  run->execution = std::move(execution);
  bool fresh = runs_.emplace(id, run).second;
  MOTET_CHECK(fresh, "an execution is started once");
  submit(run, cores);
}

void Runner::submit(const std::shared_ptr<Run>& run, const CoreSet& cores) {
  MOTET_CHECK(!cores.empty() && pool_.cores().includes(cores), "an execution runs on cores of the pool");
  run->cores = cores;
  run->on_worker = true;
  enqueue(run, cores.first());
}

void Runner::enqueue(const std::shared_ptr<Run>& run, int leader) {
  run->self = run;
  pool_.submit(leader, {[](void* argument) {
                          std::shared_ptr<Run> mine = std::move(static_cast<Run*>(argument)->self);
                          mine->runner->drive(mine);
                        },
                        run.get()});
}

// On the leader's worker: steps until the end, or until asked for something.
void Runner::drive(const std::shared_ptr<Run>& run) {
  CoreSet cores;
  {
    std::lock_guard lock(run->mutex);
    cores = run->cores;
  }
  auto team = device::PoolTeam::create(pool_, cores.first(), cores);
  device::TeamScope scope(*team);
  for (;;) {
    unsigned asked = run->asked.load(std::memory_order_acquire);
    if ((asked & kKill) != 0) {
      sink_(brain::Failed{.execution = run->id, .error = {Code::kCancelled, "killed between two steps"}});
      return;
    }
    if ((asked & kPause) != 0) {
      run->asked.fetch_and(~kPause);
      sink_(brain::Progress{run->id, run->execution->steps_done(), run->execution->steps_total(), true});
      return;
    }
    if ((asked & kResize) != 0) {
      run->asked.fetch_and(~kResize);
      std::lock_guard lock(run->mutex);
      if (run->cores.first() != cores.first()) {  // another worker leads from here on
        enqueue(run, run->cores.first());
        return;
      }
      cores = run->cores;
      team->resize(cores);
    }
    Nanos before = clock_.now();
    engine::RunState state = run->execution->step(*team, run->asked);
    Nanos took = clock_.now() - before;
    run->busy += took;
    step_seconds_.observe(took.seconds());
    if (state == engine::RunState::kFinished) {
      sink_(brain::Finished{run->id, run->busy});
      return;
    }
    if (state == engine::RunState::kFailed) {
      sink_(brain::Failed{.execution = run->id, .error = run->execution->failure()});
      return;
    }
  }
}

void Runner::yield(ExecutionId id) {
  auto found = runs_.find(id);
  if (found != runs_.end() && found->second->on_worker)
    found->second->asked.fetch_or(kPause, std::memory_order_release);
}

void Runner::resume(ExecutionId id, const CoreSet& cores) {
  auto found = runs_.find(id);
  if (found == runs_.end() || found->second->on_worker) return;
  found->second->asked.fetch_and(~kPause);
  submit(found->second, cores);
}

void Runner::resize(ExecutionId id, const CoreSet& cores) {
  auto found = runs_.find(id);
  if (found == runs_.end() || !found->second->on_worker) return;
  {
    std::lock_guard lock(found->second->mutex);
    found->second->cores = cores;
  }
  found->second->asked.fetch_or(kResize, std::memory_order_release);
}

void Runner::kill(ExecutionId id) {
  auto found = runs_.find(id);
  if (found == runs_.end() || found->second->ended) return;
  Run& run = *found->second;
  if (run.on_worker) {
    run.asked.fetch_or(kKill, std::memory_order_release);
    run.execution->request_kill();  // ends a step of a foreign executor that is under way
  } else {                          // paused: nothing will read the flag
    run.ended = true;
    sink_(brain::Failed{.execution = id, .error = {Code::kCancelled, "killed while paused"}});
  }
}

void Runner::paused(ExecutionId id) {
  auto found = runs_.find(id);
  if (found == runs_.end()) return;
  found->second->on_worker = false;
  if ((found->second->asked.load() & kKill) != 0) kill(id);  // asked for after the worker had let go
}

const engine::Execution* Runner::find(ExecutionId id) const {
  auto found = runs_.find(id);
  return found == runs_.end() ? nullptr : found->second->execution.get();
}

void Runner::forget(ExecutionId id) { runs_.erase(id); }

}  // namespace motet::serve
