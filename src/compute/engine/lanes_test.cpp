// Which steps become lanes, and that lanes run at once, each on a core of its own.
#include "compute/engine/lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "compute/device/pool.h"
#include "compute/engine/runner.h"

namespace motet::engine {
namespace {

Footprint step(std::vector<int> reads, std::vector<int> writes, int64_t time = 100) {
  return {.reads = std::move(reads), .writes = std::move(writes), .estimate = Nanos(time), .alone = false};
}

std::vector<std::vector<Lane>> lanes_of(const std::vector<Stage>& stages) {
  std::vector<std::vector<Lane>> list;
  for (const Stage& stage : stages) list.push_back(stage.lanes);
  return list;
}

using Lanes = std::vector<std::vector<Lane>>;

TEST(Lanes, BranchesBetweenAForkAndAJoinAreLanes) {
  // 0 -> 1; 1 -> 2 -> 3; 1 -> 4; 3, 4 -> 5
  std::vector<Footprint> steps = {step({0}, {1}), step({1}, {2}), step({2}, {3}),
                                  step({3}, {4}), step({2}, {5}), step({4, 5}, {6})};
  EXPECT_EQ(lanes_of(find_lanes(steps)), (Lanes{{{0, 1}}, {{2, 3}, {4}}, {{5}}}));
}

TEST(Lanes, AChainIsOneLane) {
  std::vector<Footprint> steps = {step({0}, {1}), step({1}, {2}), step({2}, {3})};
  EXPECT_EQ(lanes_of(find_lanes(steps)), (Lanes{{{0, 1, 2}}}));
  EXPECT_TRUE(find_lanes({}).empty());
  EXPECT_TRUE(single_lane(0).empty());
}

TEST(Lanes, AStepThatWritesWhatAnotherReadsIsOfItsLane) {
  // 2 adds to buffer 1 in place, which 1 reads; 3 is free of both.
  std::vector<Footprint> steps = {step({0}, {1}), step({1}, {2}), step({1}, {1}), step({0}, {3})};
  EXPECT_EQ(lanes_of(find_lanes(steps)), (Lanes{{{0, 1, 2}, {3}}}));
}

TEST(Lanes, ABranchByDataStandsAlone) {
  std::vector<Footprint> steps = {step({0}, {1}), step({0}, {2}), step({0}, {3}), step({0}, {4})};
  steps[2].alone = true;
  EXPECT_EQ(lanes_of(find_lanes(steps)), (Lanes{{{0}, {1}}, {{2, 3}}}));
}

// Returns when both have begun, or after a while: two of them end well only if they run at once.
class Meeting final : public ops::Kernel {
 public:
  Meeting(std::atomic<int>& begun, std::atomic<int>& met) : begun_(begun), met_(met) {}
  void run(const ops::KernelArgs&, device::Team& team) const override {
    auto work = [&](int, int) {
      begun_.fetch_add(1);
      for (int64_t pauses = 0; begun_.load() < 2 && pauses < 2'000'000'000; ++pauses) {
      }
      if (begun_.load() >= 2) met_.fetch_add(1);
    };
    team.run(1, device::PartFunction(work));
  }
  std::string implementation() const override { return "test"; }

 private:
  std::atomic<int>& begun_;
  std::atomic<int>& met_;
};

TEST(Lanes, RunAtOnceEachOnACoreOfItsOwn) {
  std::atomic<int> begun{0}, met{0};
  CompiledProgram program;
  program.quantum = Nanos::from_millis(1);
  for (int i = 0; i < 2; ++i) {
    Step step;
    step.kernel = std::make_unique<Meeting>(begun, met);
    program.body.push_back(std::move(step));
    program.infos.emplace_back();
  }
  program.stages = {{.lanes = {{0}, {1}}}};
  auto pool = device::Pool::create({.workers = 2, .pin = false, .spin_pauses = 10});
  ASSERT_TRUE(pool.ok());
  Runner runner(program, nullptr, {}, {});
  struct Job {
    device::Pool& pool;
    Runner& runner;
    std::promise<void> done;
  } job{**pool, runner, {}};
  (*pool)->submit(0, {[](void* argument) {
                        auto& j = *static_cast<Job*>(argument);
                        auto team = device::PoolTeam::create(j.pool, 0, j.pool.cores());
                        EXPECT_TRUE(j.runner.step(*team, device::kAtOnce).ok());
                        j.done.set_value();
                      },
                      &job});
  job.done.get_future().wait();
  EXPECT_EQ(met.load(), 2);
  EXPECT_TRUE(runner.done());
  EXPECT_EQ(runner.steps_done(), 2);
}

}  // namespace
}  // namespace motet::engine
