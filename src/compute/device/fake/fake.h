// A device without threads, for tests of what runs on one: a clock that tests move, a team that records what it was
// asked and runs parts on the caller in a shuffled order, and a pool whose tasks run when the test says so. One thread
// at a time.
#pragma once

#include <deque>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "compute/device/pool.h"
#include "compute/device/team.h"

namespace motet::device {

class FakeClock final : public Clock {
 public:
  Nanos now() const override { return now_; }
  void advance(Nanos by) { now_ += by; }

 private:
  Nanos now_;
};

// Every run() takes a drawn virtual time: exponential with `mean` for one core's work per part, parts spread over the
// width.
class FakeTeam final : public Team {
 public:
  struct Run {
    int parts = 0;
    int width = 0;
    Nanos began;
    Nanos took;
  };

  // REQUIRES: width >= 1, mean >= 0; `clock` outlives the team.
  FakeTeam(int width, Nanos mean, uint64_t seed, FakeClock& clock);

  int width() const override { return width_; }
  void run(int parts, PartFunction f) override;

  // From the next run on. REQUIRES: width >= 1, not during a run.
  void resize(int width);
  // Whenever a run begins, the width is drawn anew from 1 to `greatest`: a partition that is resized between steps.
  void resize_at_random(int greatest);

  const std::vector<Run>& runs() const { return runs_; }
  int64_t parts_run() const { return parts_run_; }

 private:
  int width_;
  int greatest_ = 0;  // 0: the width stays
  const Nanos mean_;
  Random random_;
  FakeClock& clock_;
  std::vector<Run> runs_;
  int64_t parts_run_ = 0;
};

class FakePool final : public Pool {
 public:
  // REQUIRES: 1 <= size <= CoreSet::kMaxCores.
  FakePool(int size, uint64_t seed);
  ~FakePool() override;

  int size() const override { return static_cast<int>(queues_.size()); }
  int cpu_of(int core) const override { return core; }
  void submit(int leader, Task task) override;
  int64_t busy_ns(int core) const override;

  // Runs the oldest task of a worker chosen at random; false if none is queued.
  bool run_one();
  // Runs until nothing is queued; the number of tasks run.
  int drain();
  // What busy_ns() answers from now on.
  void set_busy_ns(int core, int64_t ns);

 private:
  std::vector<std::deque<Task>> queues_;
  std::vector<int64_t> busy_ns_;
  Random random_;
};

}  // namespace motet::device
