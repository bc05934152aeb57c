// The loop with the default policy: what runs: preemption, cores, cancellation, lateness, and a body that errs.
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

TEST(LoopExecution, CancelledQueriesAreAnsweredAtOnce) {
  VirtualBody body(options(1));
  InstanceId m = body.add(model());
  body.warm(m);
  QueryId running = body.query(m), b = body.query(m), c = body.query(m), d = body.query(m);
  body.send(Cancelled{c});
  EXPECT_EQ(body.answer(c)->error.code, Code::kCancelled) << "queued";
  body.send(Cancelled{running});
  EXPECT_EQ(body.answer(running)->error.code, Code::kCancelled) << "running alone";
  ASSERT_EQ(body.sent<Kill>().size(), 1u);
  EXPECT_EQ(body.executions(), 1u) << "the cores stay its own until the device reports";
  body.advance(us(150));
  // b and d run together now; one leaves, the other goes on.
  body.send(Cancelled{b});
  EXPECT_EQ(body.sent<Kill>().size(), 1u);
  EXPECT_EQ(body.answer(b)->error.code, Code::kCancelled);
  body.send(Cancelled{b});
  body.send(Cancelled{QueryId(999)});
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(d)->ok);
  EXPECT_EQ(body.loop().charged(), Bytes(1100));
}

TEST(LoopExecution, LateCompletionsFailTheirQueries) {
  LoopOptions o = options(1);
  o.lateness_factor = 4;
  o.lateness_slack = ms(10);
  VirtualBody body(o);
  InstanceId m = body.add(model());
  body.warm(m);
  body.noise.emplace(1, "loss");
  body.lose_completion = 1;
  QueryId lost = body.query(m);
  body.advance(ms(13));
  EXPECT_EQ(body.answer(lost), nullptr);
  body.advance(ms(2));
  ASSERT_NE(body.answer(lost), nullptr);
  EXPECT_EQ(body.answer(lost)->error.code, Code::kInternal);
  EXPECT_NE(body.answer(lost)->error.message.find("predicted"), std::string::npos);
  body.advance(ms(1));
  EXPECT_EQ(body.executions(), 0u) << "killed, and the device has said so";
  body.lose_completion = 0;
  QueryId next = body.query(m);
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(next)->ok);
}

TEST(LoopExecution, NothingWaitsForADeadDevice) {
  LoopOptions o = options(1);
  o.lateness_factor = 4;
  o.lateness_slack = ms(10);
  VirtualBody body(o);
  InstanceId m = body.add(model());
  body.warm(m);
  body.noise.emplace(1, "loss");
  body.lose_completion = 1;
  body.deaf_to_kill = true;
  QueryId lost = body.query(m), behind = body.query(m);
  body.advance(ms(100));
  EXPECT_FALSE(body.answer(lost)->ok);
  ASSERT_NE(body.answer(behind), nullptr);
  EXPECT_EQ(body.answer(behind)->error.code, Code::kUnavailable);
  QueryId later = body.query(m);
  EXPECT_NE(body.answer(later)->error.message.find("every core"), std::string::npos)
      << body.answer(later)->error.message;
  EXPECT_EQ(body.loop().charged(), Bytes(1110)) << "its arena stays charged";
}

TEST(LoopExecution, UrgentQueriesPreempt) {
  VirtualBody body(options(1));
  ModelSpec slow = model("slow"), quick = model("quick");
  slow.speed = {ms(100), ms(1)};
  quick.settings.slo = ms(10);
  InstanceId s = body.add(slow), q = body.add(quick);
  body.warm(s);
  body.advance(ms(200));
  body.warm(q);
  body.clear();
  QueryId long_one = body.query(s);
  body.advance(ms(20));
  QueryId urgent = body.query(q);
  body.advance(ms(10));
  ASSERT_EQ(body.sent<Yield>().size(), 1u);
  ASSERT_NE(body.answer(urgent), nullptr);
  EXPECT_TRUE(body.answer(urgent)->ok);
  EXPECT_EQ(body.sent<Resume>().size(), 1u);
  body.advance(ms(200));
  EXPECT_TRUE(body.answer(long_one)->ok);
  // One that can wait does not preempt, once it is known how long the other takes.
  for (int i = 0; i < 30; ++i) {
    body.query(s);
    body.advance(ms(200));
  }
  body.clear();
  body.query(s);
  body.advance(ms(98));
  QueryId patient = body.query(q);
  body.advance(ms(20));
  EXPECT_TRUE(body.sent<Yield>().empty());
  EXPECT_TRUE(body.answer(patient)->ok);
}

TEST(LoopExecution, UrgentQueriesCountWithAModelThatYieldsToNobody) {
  VirtualBody body(options(1));
  ModelSpec foreign = model("foreign"), quick = model("quick");
  foreign.speed = {ms(100), ms(1)};
  foreign.one_step = true;
  quick.settings.slo = ms(10);
  InstanceId f = body.add(foreign), q = body.add(quick);
  body.warm(f);
  body.advance(ms(200));
  body.warm(q);
  for (int i = 0; i < 30; ++i) {  // once it is known how long it takes
    body.query(f);
    body.advance(ms(200));
  }
  body.clear();
  QueryId long_one = body.query(f);
  body.advance(ms(20));
  // It cannot be met, and is told so at once: a server ahead of this one may still send it elsewhere.
  QueryId urgent = body.query(q);
  ASSERT_NE(body.answer(urgent), nullptr);
  EXPECT_TRUE(body.answer(urgent)->shed);
  EXPECT_EQ(body.answer(urgent)->reason, ShedReason::kDeadlineUnreachable);
  EXPECT_NE(body.answer(urgent)->error.message.find("from 8"), std::string::npos)
      << "81 ms to go: " << body.answer(urgent)->error.message;
  body.advance(ms(75));
  QueryId patient = body.query(q);  // 6 ms to go
  body.advance(ms(100));
  EXPECT_TRUE(body.sent<Yield>().empty());
  EXPECT_TRUE(body.answer(long_one)->ok);
  ASSERT_NE(body.answer(patient), nullptr);
  EXPECT_TRUE(body.answer(patient)->ok);
}

TEST(LoopExecution, WhatIsLearntOfAModelsTimeIsLearntOfItsLongestStep) {
  VirtualBody body(options(1));
  ModelSpec foreign = model("foreign"), quick = model("quick");
  foreign.speed = {ms(100), ms(1)};
  foreign.one_step = true;
  foreign.run_percent = 200;
  quick.settings.slo = ms(10);
  InstanceId f = body.add(foreign), q = body.add(quick);
  body.warm(f);
  body.advance(ms(400));
  body.warm(q);
  for (int i = 0; i < 30; ++i) {
    body.query(f);
    body.advance(ms(400));
  }
  QueryId long_one = body.query(f);
  body.advance(ms(20));
  QueryId urgent = body.query(q);
  ASSERT_NE(body.answer(urgent), nullptr);
  EXPECT_EQ(body.answer(urgent)->reason, ShedReason::kDeadlineUnreachable);
  EXPECT_NE(body.answer(urgent)->error.message.find("from 18"), std::string::npos)
      << "101 ms are predicted, 182 to go: " << body.answer(urgent)->error.message;
  body.advance(ms(400));
  EXPECT_TRUE(body.answer(long_one)->ok);
}

TEST(LoopExecution, StalePausesDoNotFreeCores) {
  VirtualBody body(options(1));
  ModelSpec slow = model("slow"), quick = model("quick");
  slow.speed = {ms(100), ms(1)};
  quick.settings.slo = ms(10);
  InstanceId s = body.add(slow), q = body.add(quick);
  body.warm(s);
  body.advance(ms(200));
  body.warm(q);
  body.clear();
  body.query(s);
  ExecutionId e = body.sent<Start>().back().execution;
  body.send(Progress{e, 3, 10, true});  // nobody asked it to
  body.query(s);
  EXPECT_EQ(body.sent<Start>().size(), 1u);
  body.advance(ms(20));
  body.query(q);
  body.advance(ms(10));  // paused at step 1, urgent served, resumed
  body.query(q);
  ASSERT_EQ(body.sent<Yield>().size(), 2u);
  body.send(Progress{e, 1, 10, true});  // the first pause, repeated
  EXPECT_EQ(body.sent<Resume>().size(), 2u) << "told to run on, whichever it was";
}

TEST(LoopExecution, ImpossibleTimesTeachNothing) {
  auto loop = std::move(Loop::create(options(1))).value();
  InstanceId m(1);
  ModelSettings settings = model().settings;
  settings.slo = ms(10);
  loop->step(ConfigChanged{m, true, settings, Bytes(10)}, ms(1));
  loop->step(Loaded{m, 0, Bytes(10), {}}, ms(2));
  loop->step(Loaded{m, 5, Bytes(10), {{1, Bytes(1), {ms(1)}}}}, ms(2));
  auto starts = [&](QueryId q, Nanos now) {
    int found = 0;
    for (const Action& a : loop->step(Arrived{q, m, 5, 1, Bytes(1), now, kNever, 0, {}}, now))
      found += std::holds_alternative<Start>(a);
    return found;
  };
  EXPECT_EQ(starts(QueryId(1), ms(3)), 1);
  loop->step(Finished{ExecutionId(1), Nanos::from_seconds(3600)}, ms(4));
  EXPECT_EQ(starts(QueryId(2), ms(5)), 1) << "an hour on the cores within a millisecond is not believed";
  for (uint64_t i = 2; i < 12; ++i) {
    Nanos now = ms(static_cast<int64_t>(i) * 2000);
    starts(QueryId(i + 1), now - ms(900));
    loop->step(Finished{ExecutionId(i), ms(800)}, now);
  }
  EXPECT_EQ(starts(QueryId(100), ms(22'050)), 0) << "what can be true is: the SLO is out of reach";
  EXPECT_EQ(starts(QueryId(101), ms(23'500)), 1) << "and tried again after a second";
}

TEST(LoopExecution, CoresAreDividedAmongWhatWaits) {
  VirtualBody body(options(2));
  InstanceId a = body.add(model("a")), b = body.add(model("b"));
  body.warm(a);
  body.warm(b);
  body.clear();
  QueryId alone = body.query(a);
  EXPECT_EQ(body.sent<Start>()[0].cores.size(), 2);
  body.query(a);
  body.query(b);
  body.run_until(body.now() + us(600));
  EXPECT_TRUE(body.answer(alone)->ok);
  std::vector<Start> starts = body.sent<Start>();
  ASSERT_EQ(starts.size(), 3u);
  EXPECT_EQ(starts[1].cores.size(), 1);
  EXPECT_EQ(starts[2].cores.size(), 1);
}

TEST(LoopExecution, IgnoresWhatItDoesNotKnow) {
  VirtualBody body(options());
  InstanceId m = body.add(model());
  body.warm(m);
  Bytes before = body.loop().charged();
  body.send(Finished{ExecutionId(77), ms(1)});
  body.send(Failed{ExecutionId(77), {}, 0, internal_error("x")});
  body.send(Failed{{}, InstanceId(77), 0, internal_error("x")});
  body.send(Failed{{}, m, 0, internal_error("x")});
  body.send(Failed{{}, m, 7, internal_error("x")});
  body.send(Progress{ExecutionId(77), 1, 2, true});
  body.send(Loaded{m, 0, Bytes(1), {}});
  body.send(Loaded{m, 7, Bytes(1), {}});
  body.send(Loaded{InstanceId(77), 0, Bytes(1), {}});
  body.send(Unloaded{m});
  body.send(Unloaded{InstanceId(77)});
  body.send(PlanReady{99, {{m, CoreSet(), 1}}});
  body.send(ConfigChanged{InstanceId(77), false, {}, {}});
  EXPECT_EQ(body.loop().charged(), before);
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  QueryId unknown = body.query(InstanceId(78));
  EXPECT_EQ(body.answer(unknown)->reason, ShedReason::kNotReady);
  QueryId q = body.query(m);
  body.send(Arrived{q, m, 7, 1, Bytes(5), body.now(), kNever, 0, TenantId(1)});
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(q)->ok);
}

TEST(LoopExecution, AClockThatJumpsIsFine) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.slo = ms(50);
  InstanceId m = body.add(spec);
  body.warm(m);
  QueryId running = body.query(m), waiting = body.query(m);
  body.loop().step(Tick{}, Nanos(0));  // back: taken as no time
  std::span<const Action> actions = body.loop().step(Tick{}, body.now() + Nanos::from_seconds(3600));
  bool told_running = false, told_waiting = false;
  for (const Action& a : actions) {
    if (const auto* r = std::get_if<Reply>(&a)) told_running |= r->query == running && !r->ok;
    if (const auto* s = std::get_if<Shed>(&a)) told_waiting |= s->query == waiting;
  }
  EXPECT_TRUE(told_running);
  EXPECT_TRUE(told_waiting);
}

}  // namespace
}  // namespace motet::brain
