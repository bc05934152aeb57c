#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "bench/steps/drive.h"
#include "bench/steps/steps.h"
#include "compute/device/team.h"

namespace motet::steps {
namespace {

// Ticks stolen by the hypervisor since the machine began, of /proc/stat's first line; 0 where it does not tell.
int64_t stolen_ticks() {
  std::ifstream stat("/proc/stat");
  std::string cpu;
  int64_t field = 0, steal = 0;
  stat >> cpu;
  for (int i = 0; i < 8 && stat >> field; ++i) steal = field;
  return steal;
}

// Of the asker: above the workers, as the loop that asks in a server.
constexpr int kNiceness = -10;

// Time that this process's thread `tid` could have run but something else had its core, of the scheduler's statistics.
Nanos delay_of(pid_t tid) {
  std::ifstream statistics("/proc/self/task/" + std::to_string(tid) + "/schedstat");
  int64_t ran = 0, waited = 0;
  statistics >> ran >> waited;
  return Nanos(waited);
}

std::vector<Nanos> delays_of(const std::vector<pid_t>& threads) {
  std::vector<Nanos> list;
  for (pid_t thread : threads) list.push_back(delay_of(thread));
  return list;
}

// Pages mapped for this process since it began.
int64_t faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

// What the asker and the worker share: one ask at a time.
struct Ask {
  std::atomic<bool> open{false};     // asked for, not yet answered
  std::atomic<int64_t> freed_at{0};  // when the cores were free
  std::atomic<int64_t> at{0};        // steps that were done then
  std::atomic<bool> stop{false};
};

}  // namespace

Result<std::vector<Yield>> yields(const engine::ProgramPtr& program, int width, int asks) {
  MOTET_ASSIGN(auto pool, device::Pool::create({.workers = width}));
  const std::vector<Tensor> inputs = draw_inputs(*program);
  SteadyClock clock;
  Ask ask;
  std::mutex mutex;  // guards `execution`: the asker must not ask one that is being replaced
  std::unique_ptr<engine::Execution> execution;
  Status failed;
  std::vector<Yield> samples;
  std::vector<pid_t> threads;
  for (int core = 0; core < width; ++core) on_worker(*pool, core, [&] { threads.push_back(gettid()); });
  std::jthread asker([&] {
    Random random(7, "asks");
    const double mean_ns = 2e6;
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNiceness);
    while (static_cast<int>(samples.size()) < asks && !ask.stop.load()) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(static_cast<int64_t>(random.exponential(mean_ns))));
      const int64_t steal = stolen_ticks(), mapped = faults();
      const std::vector<Nanos> before = delays_of(threads);
      Nanos asked_at;
      {
        std::lock_guard lock(mutex);
        if (!execution) continue;
        ask.open.store(true);
        asked_at = clock.now();
        execution->request_pause();
      }
      ask.open.wait(true);
      if (ask.stop.load()) break;
      const std::vector<Nanos> after = delays_of(threads);
      Nanos delayed;
      for (size_t i = 0; i < after.size(); ++i) delayed = std::max(delayed, after[i] - before[i]);
      samples.push_back({(Nanos(ask.freed_at.load()) - asked_at).seconds() * 1e6, stolen_ticks() != steal,
                         delayed.seconds() * 1e6, faults() - mapped, ask.at.load()});
    }
    ask.stop.store(true);
  });
  on_worker(*pool, 0, [&] {
    auto team = device::PoolTeam::create(*pool, 0, pool->cores());
    while (!ask.stop.load() && failed.ok()) {
      {
        auto fresh = begin(program, inputs);
        std::lock_guard lock(mutex);
        if (!fresh.ok())
          failed = fresh.error();
        else
          execution = std::move(*fresh);
      }
      engine::RunState state = engine::RunState::kPaused;
      while (failed.ok() && state == engine::RunState::kPaused && !ask.stop.load()) {
        state = execution->run(*team);
        if (state == engine::RunState::kFailed) failed = execution->failure();
        Nanos freed = clock.now();
        std::lock_guard lock(mutex);
        if (ask.open.load()) {  // paused for it, or ended just then: the cores are free either way
          ask.freed_at.store(freed.value);
          ask.at.store(execution->steps_done());
          execution->clear_pause();
          ask.open.store(false);
          ask.open.notify_all();
        }
      }
      std::lock_guard lock(mutex);
      execution.reset();
    }
    ask.stop.store(true);
    ask.open.store(false);
    ask.open.notify_all();
  });
  asker.join();
  if (!failed.ok()) return failed.error();
  return samples;
}

}  // namespace motet::steps
