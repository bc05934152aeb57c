#include "compute/device/fake/fake.h"

#include <algorithm>
#include <numeric>

#include "compute/device/region.h"

namespace motet::device {

FakeTeam::FakeTeam(int width, Nanos mean, uint64_t seed, FakeClock& clock)
    : width_(width), mean_(mean), random_(seed, "fake-team"), clock_(clock) {
  MOTET_CHECK(width >= 1 && mean.value >= 0, "a fake team has a core and a time for steps");
}

void FakeTeam::resize(int width) {
  MOTET_CHECK(width >= 1, "a team keeps its leader");
  width_ = width;
}

void FakeTeam::resize_at_random(int greatest) {
  MOTET_CHECK(greatest >= 1, "a team keeps its leader");
  greatest_ = greatest;
}

void FakeTeam::run(int parts, PartFunction f) {
  if (parts <= 0) return;
  if (this_thread().in_region) {
    run_serially(parts, f);
    return;
  }
  if (greatest_ > 0) width_ = static_cast<int>(random_.between(1, greatest_));
  int rounds = (parts + width_ - 1) / width_;
  double drawn = mean_.value > 0 ? random_.exponential(static_cast<double>(mean_.value)) : 0;
  Run run{parts, width_, clock_.now(), Nanos(static_cast<int64_t>(drawn)) * rounds};
  std::vector<int> order(static_cast<size_t>(parts));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  for (int part : order) {
    PartScope scope(part, parts);
    f(part, parts);
  }
  parts_run_ += parts;
  clock_.advance(run.took);
  runs_.push_back(run);
}

FakePool::FakePool(int size, uint64_t seed)
    : queues_(static_cast<size_t>(size)), busy_ns_(static_cast<size_t>(size)), random_(seed, "fake-pool") {
  MOTET_CHECK(size >= 1 && size <= CoreSet::kMaxCores, "a pool has at least one worker");
}

FakePool::~FakePool() {
  for (const auto& queue : queues_) MOTET_CHECK(queue.empty(), "a pool ends with no task queued");
}

void FakePool::submit(int leader, Task task) {
  MOTET_CHECK(leader >= 0 && leader < size(), "a core of this pool");
  MOTET_CHECK(task.run != nullptr, "a task has a function");
  queues_[static_cast<size_t>(leader)].push_back(task);
}

int64_t FakePool::busy_ns(int core) const { return busy_ns_.at(static_cast<size_t>(core)); }
void FakePool::set_busy_ns(int core, int64_t ns) { busy_ns_.at(static_cast<size_t>(core)) = ns; }

bool FakePool::run_one() {
  std::vector<size_t> waiting;
  for (size_t core = 0; core < queues_.size(); ++core) {
    if (!queues_[core].empty()) waiting.push_back(core);
  }
  if (waiting.empty()) return false;
  std::deque<Task>& queue = queues_[waiting[random_.below(waiting.size())]];
  Task task = queue.front();
  queue.pop_front();
  task.run(task.argument);
  return true;
}

int FakePool::drain() {
  int count = 0;
  while (run_one()) ++count;
  return count;
}

}  // namespace motet::device
