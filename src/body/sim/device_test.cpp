#include "body/sim/device.h"

#include <gtest/gtest.h>

namespace motet::sim {
namespace {

// One model, one bucket with a program for one row: 10 ms on one core, 5 ms on two.
Scenario small_scenario() {
  Scenario scenario;
  scenario.seed = 1;
  scenario.options.cores = CoreSet::range(0, 2);
  ModelTruth model;
  model.instance = InstanceId(1);
  model.settings.name = "small";
  model.weights = Bytes(100);
  model.load_time = Nanos::from_millis(3);
  model.unload_time = Nanos::from_millis(2);
  BucketTruth bucket;
  bucket.bucket = 7;
  bucket.programs = {{1, Bytes(10), {Nanos::from_millis(10), Nanos::from_millis(5)}}};
  bucket.bias = {{1.0, 1.0}};
  bucket.bytes = Bytes(20);
  bucket.load_time = Nanos::from_millis(1);
  model.buckets.push_back(bucket);
  scenario.models.push_back(model);
  return scenario;
}

struct Bench {
  explicit Bench(Fault fault = Fault::kCount) {
    FaultRates rates{};
    if (fault != Fault::kCount) rates[static_cast<size_t>(fault)] = 1.0;
    faults = std::make_unique<Faults>(rates, Random(1, "faults"));
    device = std::make_unique<Device>(scenario, *faults, timeline);
  }

  void act(const brain::Action& action) { device->carry_out(action, now); }
  void start(uint64_t id, const CoreSet& cores) {
    act(brain::Start{ExecutionId(id), InstanceId(1), 7, {QueryId(1)}, {{1, 1}}, cores});
  }
  // Lets the device run for `time`; what it reports meanwhile, with the instant.
  std::vector<std::pair<Nanos, brain::Event>> run(Nanos time) {
    std::vector<std::pair<Nanos, brain::Event>> heard;
    Nanos end = now + time;
    while (!timeline.empty() && timeline.next() <= end) {
      now = timeline.next();
      Occurrence o = timeline.pop();
      if (o.of_device())
        device->occur(o, now);
      else if (device->current(o))
        heard.emplace_back(now, std::move(*o.event));
    }
    now = end;
    std::erase_if(heard, [](const auto& h) {
      const auto* progress = std::get_if<brain::Progress>(&h.second);
      return progress && !progress->paused && progress->steps_done == 0;
    });
    return heard;
  }

  const Scenario scenario = small_scenario();
  std::unique_ptr<Faults> faults;
  TrialTimeline timeline;
  std::unique_ptr<Device> device;
  Nanos now;
};

constexpr Nanos kLong = Nanos::from_seconds(1);
Nanos ms(int64_t n) { return Nanos::from_millis(n); }

template <class E>
std::vector<Nanos> instants(const std::vector<std::pair<Nanos, brain::Event>>& heard) {
  std::vector<Nanos> out;
  for (const auto& [at, event] : heard)
    if (std::holds_alternative<E>(event)) out.push_back(at);
  return out;
}

TEST(Device, RunsAsLongAsTheTableSaysAtItsWidth) {
  Bench bench;
  bench.start(1, CoreSet::single(0));
  EXPECT_EQ(bench.device->held(ExecutionId(1)), CoreSet::single(0));
  EXPECT_EQ(instants<brain::Finished>(bench.run(kLong)), std::vector{ms(10)});
  EXPECT_TRUE(bench.device->finished_well(ExecutionId(1)));
  EXPECT_TRUE(bench.device->held(ExecutionId(1)).empty());
  Nanos from = bench.now;
  bench.start(2, CoreSet::range(0, 2));
  EXPECT_EQ(instants<brain::Finished>(bench.run(kLong)), std::vector{from + ms(5)});
  EXPECT_EQ(bench.device->live(), 0u);
}

TEST(Device, YieldsBetweenStepsAndGoesOnWhereItWas) {
  Bench bench;
  bench.start(1, CoreSet::single(0));
  bench.run(Nanos::from_micros(2'500));
  bench.act(brain::Yield{ExecutionId(1)});
  EXPECT_FALSE(bench.device->held(ExecutionId(1)).empty()) << "cores are held until the step ends";
  auto heard = bench.run(kLong);
  ASSERT_EQ(instants<brain::Progress>(heard), std::vector{ms(3)});
  EXPECT_EQ(std::get<brain::Progress>(heard.back().second), (brain::Progress{ExecutionId(1), 3, 10, true}));
  EXPECT_TRUE(bench.device->held(ExecutionId(1)).empty());
  Nanos from = bench.now;
  bench.act(brain::Resume{ExecutionId(1), CoreSet::range(0, 2)});
  heard = bench.run(kLong);
  ASSERT_EQ(instants<brain::Finished>(heard), std::vector{from + Nanos::from_micros(3'500)});
  EXPECT_EQ(std::get<brain::Finished>(heard.back().second).busy, Nanos::from_micros(6'500))
      << "3 ms alone, 3.5 ms on two";
}

TEST(Device, AResumeWithdrawsAYieldThatHasNotHappened) {
  Bench bench;
  bench.start(1, CoreSet::single(0));
  bench.run(Nanos::from_micros(2'500));
  bench.act(brain::Yield{ExecutionId(1)});
  bench.act(brain::Resume{ExecutionId(1), CoreSet::single(0)});
  EXPECT_EQ(instants<brain::Finished>(bench.run(kLong)), std::vector{ms(10)});
}

TEST(Device, HoldsOldAndNewCoresUntilAResizeTakesEffect) {
  Bench bench;
  bench.start(1, CoreSet::single(0));
  bench.run(Nanos::from_micros(2'500));
  bench.act(brain::Resize{ExecutionId(1), CoreSet::single(1)});
  EXPECT_EQ(bench.device->held(ExecutionId(1)), CoreSet::range(0, 2));
  bench.run(ms(1));
  EXPECT_EQ(bench.device->held(ExecutionId(1)), CoreSet::single(1));
  EXPECT_EQ(instants<brain::Finished>(bench.run(kLong)), std::vector{ms(10)});
}

TEST(Device, KillsAtTheNextStep) {
  Bench bench;
  bench.start(1, CoreSet::single(0));
  bench.run(Nanos::from_micros(2'500));
  bench.act(brain::Kill{ExecutionId(1)});
  auto heard = bench.run(kLong);
  ASSERT_EQ(instants<brain::Failed>(heard), std::vector{ms(3)});
  EXPECT_EQ(std::get<brain::Failed>(heard.back().second).error.code, Code::kCancelled);
  EXPECT_FALSE(bench.device->finished_well(ExecutionId(1)));
}

TEST(Device, TellsALostCompletionWhenItHasHealed) {
  Bench bench(Fault::kLostCompletion);
  bench.start(1, CoreSet::single(0));
  EXPECT_TRUE(instants<brain::Finished>(bench.run(Nanos::from_micros(10'500))).empty());
  EXPECT_TRUE(bench.device->finished_well(ExecutionId(1))) << "the truth is known";
  bench.device->heal(bench.now);
  EXPECT_EQ(instants<brain::Finished>(bench.run(kLong)).size(), 1u);
  EXPECT_EQ(bench.faults->counts()[static_cast<size_t>(Fault::kLostCompletion)], 1u);
}

TEST(Device, ReportsTwiceWhatIsDuplicated) {
  Bench bench(Fault::kDuplicateCompletion);
  bench.start(1, CoreSet::single(0));
  EXPECT_EQ(instants<brain::Finished>(bench.run(Nanos::from_seconds(10))).size(), 2u);
}

TEST(Device, AStuckExecutionMovesAgainWhenHealed) {
  Bench bench(Fault::kStuckExecution);
  bench.start(1, CoreSet::single(0));
  bench.act(brain::Kill{ExecutionId(1)});
  EXPECT_TRUE(bench.run(Nanos::from_micros(500)).empty());
  EXPECT_EQ(bench.device->held(ExecutionId(1)), CoreSet::single(0));
  bench.device->heal(bench.now);
  EXPECT_EQ(instants<brain::Failed>(bench.run(kLong)).size(), 1u);
  EXPECT_EQ(bench.device->live(), 0u);
}

TEST(Device, LoadsAndUnloads) {
  Bench bench;
  bench.act(brain::Load{InstanceId(1), 0});
  auto heard = bench.run(ms(3));
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(std::get<brain::Loaded>(heard[0].second), (brain::Loaded{InstanceId(1), 0, Bytes(100), {}}));
  bench.act(brain::Load{InstanceId(1), 7});
  heard = bench.run(ms(1));
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(std::get<brain::Loaded>(heard[0].second).programs, bench.scenario.models[0].buckets[0].programs);
  bench.act(brain::Unload{InstanceId(1), 0});
  EXPECT_EQ(instants<brain::Unloaded>(bench.run(ms(2))).size(), 1u);
}

TEST(Device, DropsTheReportOfALoadThatWasGivenUp) {
  Bench bench;
  bench.act(brain::Load{InstanceId(1), 0});
  bench.run(ms(1));
  bench.act(brain::Unload{InstanceId(1), 0});
  auto heard = bench.run(kLong);
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<brain::Unloaded>(heard[0].second));
}

}  // namespace
}  // namespace motet::sim
