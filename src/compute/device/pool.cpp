#include "compute/device/pool.h"

#include <pthread.h>
#include <sched.h>
#include <csignal>
#include <ctime>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "compute/device/worker.h"
#include "compute/device/worker_pool.h"

namespace motet::device {

namespace {

std::atomic<bool> pinned_pool_exists{false};

// Signals are for the threads of apps/, never for a worker in the middle of a step.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_{};
};

Status pin_to(std::thread& thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  int error = pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
  if (error != 0) {
    return internal_error("cannot pin a worker to CPU " + std::to_string(cpu) + ": " + std::strerror(error));
  }
  return {};
}

}  // namespace

WorkerPool::WorkerPool(bool pinned) : pinned_(pinned) {}

WorkerPool::~WorkerPool() {
  for (auto& worker : workers_) {
    worker->stopping.store(true, std::memory_order_release);
    worker->notify();
  }
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
  if (pinned_) pinned_pool_exists.store(false);
}

Status WorkerPool::start(int count, int spin_pauses, const std::vector<int>& cpus) {
  BlockSignals block;
  for (int core = 0; core < count; ++core) {
    auto worker = std::make_unique<Worker>();
    worker->core = core;
    worker->cpu = pinned_ ? cpus[static_cast<size_t>(core)] : -1;
    worker->spin_pauses = spin_pauses;
    worker->pool_size = count;
    worker->pool = this;
    for (int rank = 0; rank < count; ++rank) worker->shares.push_back({&worker->fork, rank});
    workers_.push_back(std::move(worker));
  }
  for (auto& worker : workers_) {
    try {
      worker->thread = std::thread([w = worker.get()] { w->loop(); });
    } catch (const std::system_error& failure) {
      return resource_exhausted("cannot start worker thread " + std::to_string(worker->core) + " of " +
                                std::to_string(count) + ": " + failure.what());
    }
    pthread_setname_np(worker->thread.native_handle(), ("motet-core-" + std::to_string(worker->core)).c_str());
    int error = pthread_getcpuclockid(worker->thread.native_handle(), &worker->cpu_clock);
    if (error != 0) return internal_error(std::string("no CPU clock for a worker: ") + std::strerror(error));
    if (pinned_) MOTET_RETURN_IF_ERROR(pin_to(worker->thread, worker->cpu));
  }
  return {};
}

int WorkerPool::size() const { return static_cast<int>(workers_.size()); }

Worker& WorkerPool::worker(int core) const {
  MOTET_CHECK(core >= 0 && core < size(), "a core of this pool");
  return *workers_[static_cast<size_t>(core)];
}

int WorkerPool::cpu_of(int core) const { return worker(core).cpu; }

void WorkerPool::submit(int leader, Task task) {
  MOTET_CHECK(task.run != nullptr, "a task has a function");
  Worker& to = worker(leader);
  to.mailbox.push(task);
  to.notify();
}

int64_t WorkerPool::busy_ns(int core) const {
  timespec used{};
  if (clock_gettime(worker(core).cpu_clock, &used) != 0) return 0;
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

Result<std::unique_ptr<Pool>> Pool::create(const PoolOptions& options) {
  if (options.workers < 0 || options.workers > CoreSet::kMaxCores) {
    return invalid_argument("workers is " + std::to_string(options.workers) + "; it may be 0 (from the machine) to " +
                            std::to_string(CoreSet::kMaxCores));
  }
  if (options.spin_pauses < 0) {
    return invalid_argument("spin_pauses is " + std::to_string(options.spin_pauses) + "; it may be 0 or more");
  }
  CpuBudget budget = read_cpu_budget();
  int count = options.workers == 0 ? budget.workers : options.workers;
  if (options.pin && count > static_cast<int>(budget.cpus.size())) {
    return invalid_argument("workers is " + std::to_string(count) + "; this process may run on " +
                            std::to_string(budget.cpus.size()) + " CPUs");
  }
  if (options.pin && pinned_pool_exists.exchange(true)) {
    return Error{Code::kAlreadyExists, "this process has a pinned worker pool already; there can be one"};
  }
  auto pool = std::make_unique<WorkerPool>(options.pin);
  MOTET_RETURN_IF_ERROR(pool->start(count, budget.fractional ? 0 : options.spin_pauses, budget.cpus));
  return std::unique_ptr<Pool>(std::move(pool));
}

}  // namespace motet::device
