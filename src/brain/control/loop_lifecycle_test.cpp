// The loop with the default policy: what is loaded, for how long, within which memory, under which settings.
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

TEST(LoopLifecycle, RefusesUnknownPolicies) {
  LoopOptions o = options();
  o.dispatcher = "luck";
  auto loop = Loop::create(o);
  ASSERT_FALSE(loop.ok());
  EXPECT_NE(loop.error().message.find("'luck'"), std::string::npos);
  EXPECT_NE(loop.error().message.find("edf"), std::string::npos);
  o = options();
  o.planner = "luck";
  EXPECT_FALSE(Loop::create(o).ok());
  o = options();
  o.cores = CoreSet();
  EXPECT_FALSE(Loop::create(o).ok());
  o = options();
  o.max_buckets = 0;
  EXPECT_FALSE(Loop::create(o).ok());
}

TEST(LoopLifecycle, LoadsServesDrainsUnloads) {
  VirtualBody body(options());
  InstanceId m = body.add(model(), false);
  EXPECT_EQ(body.state(m), Lifecycle::kLoading);
  QueryId early = body.query(m);
  ASSERT_NE(body.answer(early), nullptr);
  EXPECT_EQ(body.answer(early)->reason, ShedReason::kNotReady);
  EXPECT_NE(body.answer(early)->error.message.find("loading"), std::string::npos);
  body.advance(ms(5));
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  EXPECT_EQ(body.loop().charged(), Bytes(1000));

  QueryId first = body.query(m);
  EXPECT_EQ(body.answer(first), nullptr) << "its shape is not compiled yet";
  EXPECT_EQ(body.sent<Load>().size(), 2u);
  body.query(m);
  EXPECT_EQ(body.sent<Load>().size(), 2u) << "a shape is asked for once";
  body.advance(us(1200));
  EXPECT_EQ(body.executions(), 1u);
  body.send(ConfigChanged{m, false, {}, {}});
  EXPECT_EQ(body.state(m), Lifecycle::kDraining);
  QueryId late = body.query(m);
  EXPECT_EQ(body.answer(late)->reason, ShedReason::kNotReady);
  EXPECT_TRUE(body.sent<Unload>().empty());
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(first)->ok);
  EXPECT_EQ(body.state(m), Lifecycle::kUnloaded);
  EXPECT_EQ(body.loop().charged(), Bytes(0));
  EXPECT_EQ(body.waiting(), 0u);
}

TEST(LoopLifecycle, WantedAgainWhileDrainingComesBack) {
  VirtualBody body(options());
  ModelSpec spec = model();
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m);
  body.send(ConfigChanged{m, false, {}, {}});
  EXPECT_EQ(body.state(m), Lifecycle::kDraining);
  body.send(ConfigChanged{m, true, spec.settings, spec.weights});
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  body.advance(ms(50));
  EXPECT_TRUE(body.sent<Unload>().empty());
  // And when its unloading is already under way, it is loaded again after it.
  body.send(ConfigChanged{m, false, {}, {}});
  EXPECT_EQ(body.sent<Unload>().size(), 1u);
  body.send(ConfigChanged{m, true, spec.settings, spec.weights});
  body.advance(ms(50));
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  EXPECT_EQ(body.loop().charged(), Bytes(1000));
  // Unwanted while still loading: it goes as soon as the load is answered.
  InstanceId n = body.add(model("n"), false);
  body.send(ConfigChanged{n, false, {}, {}});
  body.advance(ms(50));
  EXPECT_EQ(body.state(n), Lifecycle::kUnloaded);
  EXPECT_EQ(body.loop().charged(), Bytes(1000));
}

TEST(LoopLifecycle, WarmsUpWhatTheBodyCompilesBeforeItIsReady) {
  VirtualBody body(options());
  InstanceId m = body.add(model(), false);
  body.send(Loaded{m, 7, Bytes(10), {{1, Bytes(10), {ms(1), us(500)}}}});
  EXPECT_EQ(body.state(m), Lifecycle::kWarmingUp);
  body.advance(ms(5));
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  EXPECT_EQ(body.loop().charged(), Bytes(1010));
}

TEST(LoopLifecycle, FailedLoadsSayWhy) {
  VirtualBody body(options());
  ModelSpec bad = model("bad");
  bad.load_error = "the file ends early";
  InstanceId m = body.add(bad);
  EXPECT_EQ(body.state(m), Lifecycle::kFailed);
  EXPECT_EQ(body.loop().status()[0].reason.message, "the file ends early");
  QueryId q = body.query(m);
  EXPECT_NE(body.answer(q)->error.message.find("the file ends early"), std::string::npos);
  EXPECT_EQ(body.loop().charged(), Bytes(0));
  body.send(ConfigChanged{m, true, bad.settings, bad.weights});
  EXPECT_EQ(body.state(m), Lifecycle::kLoading) << "wanted again: another try";

  ModelSpec odd = model("odd");
  odd.bucket_error = "no kernel for op Foo";
  InstanceId n = body.add(odd);
  QueryId a = body.query(n), b = body.query(n);
  body.advance(ms(5));
  EXPECT_EQ(body.answer(a)->error.message, "no kernel for op Foo");
  EXPECT_FALSE(body.answer(b)->shed) << "it had been admitted";
  EXPECT_EQ(body.state(n), Lifecycle::kReady);
}

TEST(LoopLifecycle, MemoryIsABudget) {
  LoopOptions o = options(1);
  o.memory_budget = Bytes(1300);  // 1000 weights, 100 programs
  VirtualBody body(o);
  ModelSpec spec = model();
  spec.arena_per_row = Bytes(50);
  InstanceId m = body.add(spec);
  body.warm(m);
  QueryId big = body.query(m, 1, kNever, 0, 7, Bytes(201));
  EXPECT_EQ(body.answer(big)->reason, ShedReason::kOverBudget);
  EXPECT_NE(body.answer(big)->error.message.find("200 of 1300"), std::string::npos) << body.answer(big)->error.message;
  // Eight rows would need an arena of 400: the batch is as large as memory allows.
  body.clear();
  for (int i = 0; i < 9; ++i) body.query(m, 1, kNever, 0, 7, Bytes(1));
  body.advance(ms(100));
  for (const Start& s : body.sent<Start>()) EXPECT_LE(s.parts.front().batch, 2);
  EXPECT_EQ(body.waiting(), 0u);
  // So is one query of several rows: in parts, where nothing else could be given back.
  QueryId wide = body.query(m, 4, kNever, 0, 7, Bytes(1));
  body.advance(ms(100));
  ASSERT_NE(body.answer(wide), nullptr);
  EXPECT_TRUE(body.answer(wide)->ok) << body.answer(wide)->error.message;
  // One that can never run is told so instead of waiting.
  QueryId never = body.query(m, 4, kNever, 0, 7, Bytes(160));
  ASSERT_NE(body.answer(never), nullptr);
  EXPECT_EQ(body.answer(never)->reason, ShedReason::kOverBudget);
  // Weights that do not fit.
  InstanceId n = body.add(model("n"));
  EXPECT_EQ(body.state(n), Lifecycle::kFailed);
  EXPECT_NE(body.loop().status()[1].reason.message.find("1000 bytes"), std::string::npos);
}

TEST(LoopLifecycle, BucketsAreKeptByLeastRecentUse) {
  LoopOptions o = options(1);
  o.max_buckets = 2;
  VirtualBody body(o);
  InstanceId m = body.add(model());
  body.warm(m, 11);
  body.warm(m, 12);
  body.warm(m, 11);
  body.clear();
  body.warm(m, 13);
  ASSERT_EQ(body.sent<Unload>().size(), 1u);
  EXPECT_EQ(body.sent<Unload>()[0].bucket, 12u);
  EXPECT_EQ(body.loop().charged(), Bytes(1200));
  // A third shape while two are in use waits for a place.
  body.clear();
  QueryId a = body.query(m, 1, kNever, 0, 11), b = body.query(m, 1, kNever, 0, 13), c = body.query(m, 1, kNever, 0, 14);
  EXPECT_TRUE(body.sent<Load>().empty());
  body.advance(ms(20));
  for (QueryId q : {a, b, c}) EXPECT_TRUE(body.answer(q)->ok);
  // A late repetition of a dropped shape's Loaded changes nothing.
  Bytes before = body.loop().charged();
  body.send(Loaded{m, 12, Bytes(100), {{1, Bytes(10), {ms(1)}}}});
  EXPECT_EQ(body.loop().charged(), before);
}

TEST(LoopLifecycle, WhatTheBodyBringsFindsAPlaceOrGoesAgain) {
  LoopOptions o = options(1);
  o.max_buckets = 1;
  VirtualBody body(o);
  InstanceId m = body.add(model());
  body.warm(m);
  body.query(m);
  QueryId wants = body.query(m, 1, kNever, 0, 8);
  body.clear();
  Bytes before = body.loop().charged();
  Loaded brought{m, 9, Bytes(100), {{1, Bytes(10), {ms(1)}}}};
  body.send(brought);
  ASSERT_EQ(body.sent<Unload>().size(), 1u);
  EXPECT_EQ(body.sent<Unload>()[0], (Unload{m, 9}));
  EXPECT_EQ(body.loop().charged(), before);
  // Nor is there a place for one that waits for it itself.
  body.send(Loaded{m, 8, Bytes(100), {{1, Bytes(10), {ms(1)}}}});
  ASSERT_EQ(body.sent<Unload>().size(), 2u);
  EXPECT_EQ(body.sent<Unload>()[1], (Unload{m, 8}));
  EXPECT_EQ(body.loop().charged(), before);
  body.advance(ms(50));
  ASSERT_NE(body.answer(wants), nullptr);
  EXPECT_TRUE(body.answer(wants)->ok) << "loaded when its turn came";
  // The first, repeated late, has been let go; asked for, it is loaded.
  before = body.loop().charged();
  body.send(brought);
  EXPECT_EQ(body.loop().charged(), before);
  QueryId later = body.query(m, 1, kNever, 0, 9);
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(later)->ok);
}

TEST(LoopLifecycle, ARetiredShapeGoesWhenNothingUsesIt) {
  VirtualBody body(options(1));
  InstanceId m = body.add(model());
  body.warm(m);
  const Bytes before = body.loop().charged();
  QueryId runs = body.query(m);
  QueryId waits = body.query(m);
  body.clear();
  body.send(Retired{m, 7});
  EXPECT_TRUE(body.sent<Unload>().empty()) << "one runs and one waits";
  body.advance(ms(100));
  EXPECT_TRUE(body.answer(runs)->ok);
  EXPECT_TRUE(body.answer(waits)->ok);
  ASSERT_EQ(body.sent<Unload>().size(), 1u);
  EXPECT_EQ(body.sent<Unload>()[0], (Unload{m, 7}));
  EXPECT_LT(body.loop().charged(), before);
  QueryId late = body.query(m);  // had been sent there before it was retired
  body.advance(ms(100));
  EXPECT_TRUE(body.answer(late)->ok) << "loaded again, and kept";
  EXPECT_EQ(body.sent<Unload>().size(), 1u);
  body.send(Retired{m, 99});
  body.send(Retired{InstanceId(99), 7});
  EXPECT_EQ(body.sent<Unload>().size(), 1u) << "unknown ones are nothing";
}

TEST(LoopLifecycle, UnloadingForgetsShapesUnderWay) {
  LoopOptions o = options();
  o.load_bound = ms(50);
  auto loop = std::move(Loop::create(o)).value();
  InstanceId m(1);
  loop->step(ConfigChanged{m, true, model().settings, Bytes(10)}, ms(1));
  loop->step(Loaded{m, 0, Bytes(10), {}}, ms(2));
  loop->step(Arrived{QueryId(1), m, 5, 1, Bytes(1), ms(3), kNever, 0, {}}, ms(3));
  loop->step(Cancelled{QueryId(1)}, ms(4));
  loop->step(ConfigChanged{m, false, {}, {}}, ms(5));
  for (const Action& a : loop->step(Tick{}, ms(1000)))
    EXPECT_FALSE(std::holds_alternative<Unload>(a)) << "the instance goes as a whole";
}

TEST(LoopLifecycle, ReconfiguresInPlace) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.allow_padding = true;
  spec.sizes = {4};
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m);
  QueryId padded = body.query(m, 3);
  spec.settings.allow_padding = false;
  body.send(ConfigChanged{m, true, spec.settings, spec.weights});
  ASSERT_NE(body.answer(padded), nullptr) << "it can no longer run";
  EXPECT_EQ(body.answer(padded)->error.code, Code::kInvalidArgument);
}

TEST(LoopLifecycle, LoadsThatNeverEndFail) {
  LoopOptions o = options();
  o.load_bound = ms(500);
  o.max_buckets = 1;
  auto loop = std::move(Loop::create(o)).value();
  ModelSettings settings = model().settings;
  loop->step(ConfigChanged{InstanceId(1), true, settings, Bytes(10)}, ms(1));
  loop->step(Tick{}, ms(501));
  EXPECT_EQ(loop->status()[0].state, Lifecycle::kFailed);
  loop->step(Unloaded{InstanceId(1)}, ms(502));
  EXPECT_EQ(loop->charged(), Bytes(0));
  loop->step(ConfigChanged{InstanceId(2), true, settings, Bytes(10)}, ms(510));
  loop->step(Loaded{InstanceId(2), 0, Bytes(10), {}}, ms(511));
  loop->step(Arrived{QueryId(1), InstanceId(2), 5, 1, Bytes(1), ms(512), kNever, 0, {}}, ms(512));
  loop->step(Arrived{QueryId(2), InstanceId(2), 6, 1, Bytes(1), ms(600), kNever, 0, {}}, ms(600));
  int answered = 0;
  for (const Action& a : loop->step(Tick{}, ms(1012))) answered += std::holds_alternative<Reply>(a);
  EXPECT_EQ(answered, 1);
  for (const Action& a : loop->step(Tick{}, ms(1600))) answered += std::holds_alternative<Reply>(a);
  EXPECT_EQ(answered, 2) << "whether it was being loaded or waited for a place";
  EXPECT_EQ(loop->charged(), Bytes(10));
}

}  // namespace
}  // namespace motet::brain
