// The loop with the default policy: models on demand, whose programs are loaded for their queries and give way when
// memory is needed.
#include <gtest/gtest.h>

#include "brain/control/loop_fixture.h"

namespace motet::brain {
namespace {

using testing::model;
using testing::ModelSpec;
using testing::ms;
using testing::options;
using testing::us;
using testing::VirtualBody;

ModelSpec on_demand(std::string name, int64_t bytes = 1000) {
  ModelSpec spec = model(std::move(name));
  spec.settings.on_demand = true;
  spec.weights = spec.bucket_bytes = Bytes(bytes);  // expected and true
  return spec;
}

LoopOptions budget(int64_t bytes) {
  LoopOptions o = options();
  o.memory_budget = Bytes(bytes);
  return o;
}

bool unloaded(const VirtualBody& body, InstanceId instance) {
  for (const Unload& u : body.sent<Unload>())
    if (u.instance == instance && u.bucket == 7) return true;
  return false;
}

TEST(LoopMemory, AQueryOfAModelOnDemandWaitsForItsLoad) {
  VirtualBody body(budget(10'000));
  InstanceId m = body.add(on_demand("m"));
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  QueryId q = body.query(m);
  EXPECT_EQ(body.answer(q), nullptr);
  ASSERT_EQ(body.sent<Load>().back().bucket, 7u);
  body.advance(ms(50));
  ASSERT_NE(body.answer(q), nullptr);
  EXPECT_TRUE(body.answer(q)->ok);
}

TEST(LoopMemory, TheLeastAskedForGivesWay) {
  VirtualBody body(budget(3'300));
  InstanceId a = body.add(on_demand("a")), b = body.add(on_demand("b")), c = body.add(on_demand("c"));
  InstanceId d = body.add(on_demand("d"));
  for (int i = 0; i < 5; ++i) body.warm(a);
  body.warm(b);
  for (int i = 0; i < 3; ++i) body.warm(c);
  body.clear();
  body.warm(d);
  EXPECT_TRUE(unloaded(body, b));
  EXPECT_FALSE(unloaded(body, a));
  EXPECT_FALSE(unloaded(body, c));
  EXPECT_EQ(body.answers().size(), 10u);
  for (const auto& [id, answer] : body.answers()) EXPECT_TRUE(answer.ok) << answer.error.message;
}

TEST(LoopMemory, WhatIsNotOnDemandStays) {
  VirtualBody body(budget(3'500));
  ModelSpec fixed = on_demand("fixed");
  fixed.settings.on_demand = false;
  InstanceId f = body.add(fixed);
  body.warm(f);
  InstanceId a = body.add(on_demand("a")), b = body.add(on_demand("b"));
  body.warm(a);
  body.clear();
  body.warm(b);
  EXPECT_TRUE(unloaded(body, a));
  EXPECT_FALSE(unloaded(body, f));
}

TEST(LoopMemory, NothingInUseGivesWayAndTheQueryWaits) {
  VirtualBody body(budget(1'600));
  ModelSpec slow = on_demand("slow");
  slow.speed.fixed = ms(500);
  InstanceId a = body.add(slow), b = body.add(on_demand("b"));
  body.query(a);
  body.advance(ms(20));  // runs
  body.clear();
  QueryId q = body.query(b);
  body.advance(ms(20));
  EXPECT_TRUE(body.sent<Unload>().empty());
  EXPECT_TRUE(body.sent<Load>().empty());
  EXPECT_EQ(body.answer(q), nullptr);
  body.advance(ms(1000));
  EXPECT_TRUE(unloaded(body, a));
  ASSERT_NE(body.answer(q), nullptr);
  EXPECT_TRUE(body.answer(q)->ok);
}

// `kept` is asked for often and idle, `lesser` seldom and in use: until when does a load of a third wait for it?
struct Crowd {
  explicit Crowd(Nanos run) : body(budget(9'000)) {
    kept = body.add(on_demand("kept", kBytes));
    ModelSpec slow = on_demand("lesser", kBytes);
    slow.speed.fixed = run * 2;  // on both cores
    lesser = body.add(slow);
    third = body.add(on_demand("third", kBytes));
    for (int i = 0; i < 5; ++i) body.warm(kept);
    body.query(lesser);
    body.advance(ms(2));  // loaded in one, and runs for another
    body.clear();
    asked = body.query(third);
  }
  static constexpr int64_t kBytes = 4'000;
  VirtualBody body;
  InstanceId kept, lesser, third;
  QueryId asked;
};

TEST(LoopMemory, ALoadWaitsForWhatIsWorthLessThanWhatIsIdle) {
  Crowd c(us(1500));
  EXPECT_TRUE(c.body.sent<Unload>().empty());
  c.body.advance(ms(50));
  EXPECT_TRUE(unloaded(c.body, c.lesser));
  EXPECT_FALSE(unloaded(c.body, c.kept));
  ASSERT_NE(c.body.answer(c.asked), nullptr);
  EXPECT_TRUE(c.body.answer(c.asked)->ok);
}

TEST(LoopMemory, ALoadWaitsNoLongerThanWhatItSavesWouldTakeToLoad) {
  Crowd c(ms(300));
  c.body.advance(us(900));  // a load takes a millisecond
  EXPECT_TRUE(c.body.sent<Unload>().empty());
  c.body.advance(us(200));
  EXPECT_TRUE(unloaded(c.body, c.kept));
  EXPECT_FALSE(unloaded(c.body, c.lesser));
}

TEST(LoopMemory, WhatStaysIsCountedAnewWhenItGoes) {
  VirtualBody body(budget(3'000));
  ModelSpec fixed = on_demand("fixed", 2'500);
  fixed.settings.on_demand = false;
  fixed.bucket_bytes = Bytes(100);
  InstanceId f = body.add(fixed), m = body.add(on_demand("m"));
  QueryId refused = body.query(m);
  ASSERT_NE(body.answer(refused), nullptr);
  EXPECT_EQ(body.answer(refused)->reason, ShedReason::kOverBudget);
  body.send(ConfigChanged{.instance = f, .wanted = false});
  body.advance(ms(10));
  QueryId well = body.query(m);
  body.advance(ms(50));
  ASSERT_NE(body.answer(well), nullptr);
  EXPECT_TRUE(body.answer(well)->ok) << body.answer(well)->error.message;
}

TEST(LoopMemory, WhatTakesMoreThanExpectedWaitsForIt) {
  VirtualBody body(budget(1'600));
  ModelSpec slow = on_demand("slow");
  slow.speed.fixed = ms(500);
  ModelSpec larger = on_demand("larger");
  larger.weights = Bytes(10);
  InstanceId a = body.add(slow), b = body.add(larger);
  body.query(a);
  body.advance(ms(20));
  QueryId q = body.query(b);
  body.advance(ms(20));
  EXPECT_TRUE(unloaded(body, b));
  EXPECT_EQ(body.answer(q), nullptr);
  body.advance(ms(1000));
  ASSERT_NE(body.answer(q), nullptr);
  EXPECT_TRUE(body.answer(q)->ok) << body.answer(q)->error.message;
}

TEST(LoopMemory, AQueryThatCannotBeLoadedInTimeIsShed) {
  VirtualBody body(budget(1'600));
  InstanceId a = body.add(on_demand("a")), b = body.add(on_demand("b"));
  body.warm(a);
  body.warm(b);  // drops a, whose load took a millisecond
  QueryId hopeless = body.query(a, 1, body.now() + us(500));
  ASSERT_NE(body.answer(hopeless), nullptr);
  EXPECT_TRUE(body.answer(hopeless)->shed);
  EXPECT_EQ(body.answer(hopeless)->reason, ShedReason::kDeadlineUnreachable);
  QueryId well = body.query(a, 1, body.now() + ms(50));
  body.advance(ms(50));
  ASSERT_NE(body.answer(well), nullptr);
  EXPECT_TRUE(body.answer(well)->ok) << body.answer(well)->error.message;
}

TEST(LoopMemory, AModelLargerThanTheBudgetIsRefused) {
  VirtualBody body(budget(1'600));
  ModelSpec huge = on_demand("huge", 5'000);
  huge.weights = Bytes(10);
  InstanceId m = body.add(huge);
  body.warm(m);  // only its load shows how much it takes
  QueryId q = body.query(m);
  ASSERT_NE(body.answer(q), nullptr);
  EXPECT_EQ(body.answer(q)->reason, ShedReason::kOverBudget);
  EXPECT_NE(body.answer(q)->error.message.find("5000"), std::string::npos);
}

TEST(LoopMemory, AtMostSoManyLoadsAtATimeTheLongestWaitingFirst) {
  LoopOptions o = budget(100'000);
  o.max_loads = 2;
  VirtualBody body(o);
  std::vector<InstanceId> all;
  for (int i = 0; i < 5; ++i) all.push_back(body.add(on_demand("m" + std::to_string(i))));
  body.clear();
  for (size_t i = 5; i-- > 0;) body.query(all[i]);
  EXPECT_EQ(body.sent<Load>().size(), 2u);
  body.advance(ms(100));
  std::vector<InstanceId> order;
  for (const Load& load : body.sent<Load>()) order.push_back(load.instance);
  EXPECT_EQ(order, std::vector<InstanceId>(all.rbegin(), all.rend()));
  for (const auto& [id, answer] : body.answers()) EXPECT_TRUE(answer.ok);
}

TEST(LoopMemory, IdleProgramsGiveWayToQueriesAndTheirArenas) {
  VirtualBody body(budget(2'200));
  InstanceId a = body.add(on_demand("a")), b = body.add(on_demand("b"));
  body.warm(a);
  body.warm(b);
  body.clear();
  QueryId large = body.query(b, 8, kNever, 0, 7, Bytes(300));  // fits only without a
  body.advance(ms(100));
  EXPECT_TRUE(unloaded(body, a));
  ASSERT_NE(body.answer(large), nullptr);
  EXPECT_TRUE(body.answer(large)->ok) << body.answer(large)->error.message;
}

TEST(LoopMemory, RoomIsMadeForTheRowsThatWaitNotForTheLargestBatch) {
  auto loop = Loop::create(budget(2'300));
  ASSERT_TRUE(loop.ok());
  ModelSettings settings = model().settings;
  settings.on_demand = true;
  const std::vector<ProgramFeatures> programs = {{1, Bytes(100), {ms(1), ms(1)}}, {8, Bytes(800), {ms(8), ms(8)}}};
  for (InstanceId id : {InstanceId(1), InstanceId(2)}) {
    (*loop)->step(ConfigChanged{id, true, settings, Bytes(1'000)}, ms(0));
    (*loop)->step(Loaded{id, 0, Bytes(0), {}}, ms(1));
    (*loop)->step(Loaded{id, 7, Bytes(1'000), programs}, ms(2));
  }
  auto unloads_for = [&](uint64_t query, int rows, Nanos now) {
    int unloads = 0;
    for (const Action& a : (*loop)->step(Arrived{QueryId(query), InstanceId(2), 7, rows, Bytes(0), now}, now))
      unloads += std::holds_alternative<Unload>(a) ? 1 : 0;
    (*loop)->step(Finished{ExecutionId(query), ms(1)}, now + ms(10));
    return unloads;
  };
  EXPECT_EQ(unloads_for(1, 1, ms(10)), 0);  // 300 are left, and 100 needed
  EXPECT_EQ(unloads_for(2, 8, ms(30)), 1);
}

TEST(LoopMemory, AQueryIsNotRefusedWhileIdleProgramsHoldWhatItNeeds) {
  VirtualBody body(budget(3'200));
  ModelSpec held = on_demand("held"), wide = on_demand("wide");
  held.settings.max_queue_delay = ms(50);
  wide.arena_per_row = Bytes(300);
  InstanceId h = body.add(held), i = body.add(on_demand("idle")), w = body.add(wide);
  for (InstanceId m : {w, h, i}) body.warm(m);
  body.clear();
  QueryId first = body.query(h);  // the most due, and held back for others to join it
  QueryId q = body.query(w);
  EXPECT_TRUE(unloaded(body, i));
  body.advance(ms(100));
  for (QueryId id : {first, q}) {
    ASSERT_NE(body.answer(id), nullptr);
    EXPECT_TRUE(body.answer(id)->ok) << body.answer(id)->error.message;
  }
}

TEST(LoopMemory, OfProgramsThatAllHaveQueriesSomeGiveWayAndAreLoadedAgain) {
  VirtualBody body(budget(2'200));
  ModelSpec running = model("running"), wide = on_demand("");
  running.weights = running.bucket_bytes = Bytes(10);
  running.speed.fixed = ms(400);
  wide.arena_per_row = Bytes(300);
  InstanceId r = body.add(running);
  std::vector<InstanceId> both;
  for (const char* name : {"a", "b"}) {
    wide.settings.name = name;
    both.push_back(body.add(wide));
  }
  body.warm(r);
  body.advance(ms(200));
  body.query(r);
  std::vector<QueryId> asked;
  for (InstanceId m : both) asked.push_back(body.query(m));
  body.advance(ms(20));  // both are loaded, and wait for a core
  EXPECT_EQ(body.waiting(), 3u);
  body.clear();
  body.advance(ms(500));
  EXPECT_TRUE(unloaded(body, both[1]));
  for (QueryId q : asked) {
    ASSERT_NE(body.answer(q), nullptr);
    EXPECT_TRUE(body.answer(q)->ok) << body.answer(q)->error.message;
  }
}

TEST(LoopMemory, MoreProgramsOfALoadedShapeAreTaken) {
  LoopOptions o = budget(10'000);
  auto loop = Loop::create(o);
  ASSERT_TRUE(loop.ok());
  ModelSettings settings = model().settings;
  settings.on_demand = true;
  auto features = [](int batch) { return ProgramFeatures{batch, Bytes(10), {ms(batch), ms(batch)}}; };
  (*loop)->step(ConfigChanged{InstanceId(1), true, settings, Bytes(1)}, ms(0));
  (*loop)->step(Loaded{InstanceId(1), 0, Bytes(1), {}}, ms(1));
  (*loop)->step(Loaded{InstanceId(1), 7, Bytes(100), {features(1)}}, ms(2));
  EXPECT_EQ((*loop)->charged(), Bytes(101));
  auto rows_of = [&](uint64_t first, Nanos now) {
    std::vector<int> batches;
    for (const Action& a : (*loop)->step(Arrived{QueryId(first), InstanceId(1), 7, 4, Bytes(0), now}, now))
      if (const auto* start = std::get_if<Start>(&a))
        for (const StartPart& part : start->parts) batches.push_back(part.batch);
    (*loop)->step(Finished{ExecutionId(first), ms(1)}, now + ms(10));
    return batches;
  };
  EXPECT_EQ(rows_of(1, ms(10)), std::vector<int>({1, 1, 1, 1}));
  (*loop)->step(Loaded{InstanceId(1), 7, Bytes(150), {features(1), features(4)}}, ms(30));
  EXPECT_EQ((*loop)->charged(), Bytes(151));
  EXPECT_EQ(rows_of(2, ms(40)), std::vector<int>({4}));
  (*loop)->step(Loaded{InstanceId(1), 7, Bytes(120), {features(4)}}, ms(60));  // not all it had: the old ones stay
  EXPECT_EQ((*loop)->charged(), Bytes(151));
}

}  // namespace
}  // namespace motet::brain
