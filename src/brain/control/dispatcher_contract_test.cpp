// The contract of every Dispatcher in the list: what is universal, over seeded trials with faults, and each promise.
#include <gtest/gtest.h>

#include "brain/control/virtual_body.h"

namespace motet::brain {
namespace {

using testing::ModelSpec;
using testing::ms;
using testing::us;
using testing::VirtualBody;

class DispatcherContract : public ::testing::TestWithParam<DispatcherEntry> {
 protected:
  LoopOptions options(int cores) const {
    LoopOptions o;
    o.cores = CoreSet::range(0, cores);
    o.memory_budget = Bytes(1'000'000);
    o.dispatcher = GetParam().name;
    o.lateness_factor = 10;
    o.lateness_slack = ms(20);
    return o;
  }
  Promises promises() const { return GetParam().make()->promises(); }
};

ModelSpec random_model(Random& r, int number) {
  ModelSpec spec;
  ModelSettings& s = spec.settings;
  s.name = "m" + std::to_string(number);
  s.max_batch = r.chance(0.2) ? 0 : static_cast<int>(r.between(1, 12));
  s.dynamic_batching = s.max_batch > 0 && r.chance(0.7);
  s.allow_padding = r.chance(0.3);
  if (r.chance(0.5)) s.slo = us(r.between(500, 40'000));
  if (r.chance(0.2)) s.slo_attainment = 0.5;
  if (r.chance(0.4)) s.max_queue_delay = us(r.between(100, 5'000));
  if (r.chance(0.3)) s.preferred_batches = {2, static_cast<int>(r.between(3, 8))};
  s.preserve_ordering = r.chance(0.2);
  if (r.chance(0.2)) s.max_queue = static_cast<int>(r.between(1, 20));
  if (r.chance(0.3)) s.priority_levels = static_cast<int>(r.between(1, 4)), s.default_priority = 1;
  spec.sizes = r.chance(0.7) ? std::vector<int>{1, 2, 4, 8} : std::vector<int>{1, 3, 12};
  if (s.max_batch == 0) spec.sizes = {1};
  spec.speed = {us(r.between(20, 20'000)), us(r.between(10, 2'000))};
  spec.arena_per_row = Bytes(r.between(1, 2'000));
  if (r.chance(0.1)) spec.load_error = "it does not load";
  if (r.chance(0.1)) spec.bucket_error = "this shape does not compile";
  return spec;
}

// One seeded trial; the body checks every action as it comes.
struct Trial {
  Trial(LoopOptions o, uint64_t seed) : random(seed, "trial"), body(tuned(std::move(o))) {
    body.noise.emplace(seed, "noise");
    for (int i = 0, n = static_cast<int>(random.between(1, 4)); i < n; ++i) specs.push_back(random_model(random, i));
    for (const ModelSpec& spec : specs) models.push_back(body.add(spec, false));
    if (random.chance(0.5)) body.duplicate = 0.3;
    if (random.chance(0.3)) body.lose_completion = 0.1;
  }
  LoopOptions tuned(LoopOptions o) {
    o.cores = CoreSet::range(0, static_cast<int>(random.between(1, 6)));
    if (random.chance(0.3)) o.memory_budget = Bytes(random.between(3'000, 40'000));
    o.max_buckets = static_cast<int>(random.between(1, 4));
    return o;
  }
  void one_event() {
    size_t i = random.below(models.size());
    uint64_t what = random.below(100);
    if (what < 80) {
      int most = std::max(1, specs[i].settings.max_batch);
      int rows = random.chance(0.6) ? 1 : static_cast<int>(random.between(1, most));
      Nanos deadline = random.chance(0.3) ? body.now() + us(random.between(-100, 60'000)) : kNever;
      queries.push_back(body.query(models[i], rows, deadline, static_cast<int>(random.between(0, 4)),
                                   random.between(1, 4), Bytes(random.between(0, 3'000))));
    } else if (what < 90 && !queries.empty()) {
      body.send(Cancelled{queries[random.below(queries.size())]});
    } else if (what < 93) {
      body.send(ConfigChanged{models[i], random.chance(0.6), specs[i].settings, specs[i].weights});
    } else if (what < 95) {
      specs[i].settings.max_queue_delay = us(random.between(0, 3'000));
      specs[i].settings.allow_padding = random.chance(0.5);
      body.send(ConfigChanged{models[i], true, specs[i].settings, specs[i].weights});
    } else {
      body.advance(us(random.between(0, 30'000)));
    }
    if (random.chance(0.5)) body.advance(us(random.between(0, 3'000)));
  }
  void run(int events) {
    for (int i = 0; i < events; ++i) one_event();
    body.advance(Nanos::from_seconds(60));
  }

  Random random;
  VirtualBody body;
  std::vector<ModelSpec> specs;
  std::vector<InstanceId> models;
  std::vector<QueryId> queries;
};

TEST_P(DispatcherContract, EveryQueryIsAnsweredOnceAndNothingIsLeftBehind) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Trial trial(options(2), seed);
    trial.run(300);
    ASSERT_EQ(trial.body.waiting(), 0u) << "seed " << seed;
    ASSERT_EQ(trial.body.executions(), 0u) << "seed " << seed;
    for (InstanceId m : trial.models) trial.body.send(ConfigChanged{m, false, {}, {}});
    trial.body.advance(Nanos::from_seconds(60));
    ASSERT_EQ(trial.body.loop().charged(), Bytes(0)) << "seed " << seed;
    if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST_P(DispatcherContract, EqualEventsGiveEqualActions) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Trial a(options(2), seed), b(options(2), seed);
    a.run(200);
    b.run(200);
    ASSERT_EQ(a.body.trace(), b.body.trace()) << "seed " << seed;
  }
}

TEST_P(DispatcherContract, BatchesIfItSaysSoAndOnlyThen) {
  VirtualBody body(options(1));
  ModelSpec spec;
  spec.settings.name = "m";
  spec.settings.max_batch = 8;
  spec.settings.dynamic_batching = true;
  InstanceId m = body.add(spec);
  body.warm(m);
  body.clear();
  for (int i = 0; i < 20; ++i) body.query(m);
  body.advance(Nanos::from_seconds(1));
  size_t largest = 0;
  for (const Start& s : body.sent<Start>()) largest = std::max(largest, s.queries.size());
  EXPECT_EQ(largest > 1, promises().batching);
  EXPECT_EQ(body.waiting(), 0u);
}

TEST_P(DispatcherContract, IsDeadlineAwareIfItSaysSo) {
  VirtualBody body(options(1));
  ModelSpec spec;
  spec.settings.name = "m";
  spec.settings.max_batch = 1;
  spec.sizes = {1};
  spec.speed = {ms(5), ms(5)};
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m);
  QueryId later = body.query(m, 1, body.now() + ms(200)), sooner = body.query(m, 1, body.now() + ms(100));
  QueryId hopeless = body.query(m, 1, body.now() + ms(4));
  if (promises().deadline_aware) {
    ASSERT_NE(body.answer(hopeless), nullptr) << "it is told at once";
    EXPECT_EQ(body.answer(hopeless)->reason, ShedReason::kDeadlineUnreachable);
  }
  body.advance(ms(90));
  if (promises().deadline_aware) {
    EXPECT_TRUE(body.answer(sooner)->ok);
    EXPECT_TRUE(body.answer(later)->ok);
    EXPECT_LT(body.answer(sooner)->at, body.answer(later)->at);
  }
  EXPECT_EQ(body.waiting(), 0u);
}

TEST_P(DispatcherContract, PreemptsIfItSaysSoAndOnlyThen) {
  VirtualBody body(options(1));
  ModelSpec slow, quick;
  slow.settings.name = "slow";
  slow.speed = {ms(300), ms(1)};
  quick.settings.name = "quick";
  quick.speed = {us(900), us(100)};
  InstanceId s = body.add(slow), q = body.add(quick);
  body.query(s);
  body.query(q);
  body.advance(Nanos::from_seconds(1));
  QueryId long_one = body.query(s);
  body.advance(ms(50));
  QueryId urgent = body.query(q, 1, body.now() + ms(20));
  body.advance(ms(20));
  ASSERT_NE(body.answer(urgent), nullptr);
  EXPECT_EQ(body.answer(urgent)->ok, promises().preemptive);
  EXPECT_EQ(body.answer(long_one), nullptr);
  body.advance(Nanos::from_seconds(1));
  EXPECT_TRUE(body.answer(long_one)->ok);
  EXPECT_EQ(body.sent<Yield>().size(), promises().preemptive ? 1u : 0u);
}

TEST_P(DispatcherContract, KeepsItsStarvationBound) {
  const Nanos bound = promises().starvation_bound;
  if (bound == kNever) GTEST_SKIP() << "it promises none";
  VirtualBody body(options(1));
  ModelSpec busy, patient;
  busy.settings.name = "busy";
  busy.settings.slo = ms(20);
  busy.speed = {ms(1), ms(1)};
  patient.settings.name = "patient";
  patient.speed = {ms(1), ms(1)};
  InstanceId b = body.add(busy), p = body.add(patient);
  body.query(b);
  body.query(p);
  body.advance(ms(100));
  QueryId waits = body.query(p);
  Nanos begin = body.now();
  // Twice what the core can do, all more urgent at first.
  while (body.answer(waits) == nullptr && body.now() < begin + bound * 2) {
    body.query(b);
    body.advance(ms(1));
  }
  ASSERT_NE(body.answer(waits), nullptr);
  EXPECT_TRUE(body.answer(waits)->ok);
  EXPECT_LE(body.answer(waits)->at, begin + bound + ms(10));
}

std::string name_of(const ::testing::TestParamInfo<DispatcherEntry>& info) { return std::string(info.param.name); }

INSTANTIATE_TEST_SUITE_P(All, DispatcherContract, ::testing::ValuesIn(dispatchers().begin(), dispatchers().end()),
                         name_of);

}  // namespace
}  // namespace motet::brain
