// The loop with the default policy: admission, batching, lifecycle, cancellation, lateness, memory, order.
#include "brain/control/loop.h"

#include <gtest/gtest.h>

#include "brain/control/virtual_body.h"

namespace motet::brain {
namespace {

using testing::ModelSpec;
using testing::ms;
using testing::us;
using testing::VirtualBody;

LoopOptions options(int cores = 2) {
  LoopOptions o;
  o.cores = CoreSet::range(0, cores);
  o.memory_budget = Bytes(100'000);
  return o;
}

ModelSpec model(std::string name = "m") {
  ModelSpec spec;
  spec.settings.name = std::move(name);
  spec.settings.version = 1;
  spec.settings.max_batch = 8;
  spec.settings.dynamic_batching = true;
  return spec;
}

TEST(Loop, RefusesUnknownPolicies) {
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

TEST(Loop, LoadsServesDrainsUnloads) {
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

TEST(Loop, WantedAgainWhileDrainingComesBack) {
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

TEST(Loop, WarmsUpWhatTheBodyCompilesBeforeItIsReady) {
  VirtualBody body(options());
  InstanceId m = body.add(model(), false);
  body.send(Loaded{m, 7, Bytes(10), {{1, Bytes(10), {ms(1), us(500)}}}});
  EXPECT_EQ(body.state(m), Lifecycle::kWarmingUp);
  body.advance(ms(5));
  EXPECT_EQ(body.state(m), Lifecycle::kReady);
  EXPECT_EQ(body.loop().charged(), Bytes(1010));
}

TEST(Loop, FailedLoadsSayWhy) {
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

TEST(Loop, BatchesWhileCoresAreBusy) {
  VirtualBody body(options(1));
  InstanceId m = body.add(model());
  body.warm(m);
  body.clear();
  std::vector<QueryId> all;
  for (int i = 0; i < 8; ++i) all.push_back(body.query(m));
  body.advance(ms(50));
  std::vector<Start> starts = body.sent<Start>();
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_EQ(starts[0].queries.size(), 1u);
  EXPECT_EQ(starts[1].queries, (std::vector<QueryId>(all.begin() + 1, all.end())));
  EXPECT_EQ(starts[1].parts, (std::vector<StartPart>{{4, 4}, {2, 2}, {1, 1}}));
}

TEST(Loop, WithoutDynamicBatchingEachRunsAlone) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.dynamic_batching = false;
  InstanceId m = body.add(spec);
  body.warm(m);
  body.clear();
  for (int i = 0; i < 3; ++i) body.query(m, 3);
  body.advance(ms(50));
  std::vector<Start> starts = body.sent<Start>();
  ASSERT_EQ(starts.size(), 3u);
  for (const Start& s : starts) EXPECT_EQ(s.parts, (std::vector<StartPart>{{2, 2}, {1, 1}}));
}

TEST(Loop, WaitsToGrowNoLongerThanAllowed) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.max_queue_delay = ms(10);
  InstanceId m = body.add(spec);
  body.warm(m);
  body.clear();
  Nanos begin = body.now();
  body.query(m);
  body.advance(ms(4));
  body.query(m);
  EXPECT_TRUE(body.sent<Start>().empty());
  body.run_until(begin + ms(10));
  ASSERT_EQ(body.sent<Start>().size(), 1u);
  EXPECT_EQ(body.sent<Start>()[0].queries.size(), 2u);
  body.advance(ms(50));
  // A full batch does not wait.
  body.clear();
  for (int i = 0; i < 8; ++i) body.query(m);
  EXPECT_EQ(body.sent<Start>().size(), 1u);
  body.advance(ms(50));
  // Nor does one whose deadline presses.
  body.clear();
  QueryId urgent = body.query(m, 1, body.now() + ms(5));
  body.advance(ms(5));
  ASSERT_NE(body.answer(urgent), nullptr);
  EXPECT_TRUE(body.answer(urgent)->ok);
}

TEST(Loop, PrefersPreferredSizes) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.max_queue_delay = ms(10);
  spec.settings.preferred_batches = {4};
  InstanceId m = body.add(spec);
  body.warm(m);
  body.clear();
  for (int i = 0; i < 4; ++i) body.query(m);
  ASSERT_EQ(body.sent<Start>().size(), 1u) << "a preferred size goes at once";
  EXPECT_EQ(body.sent<Start>()[0].queries.size(), 4u);
}

TEST(Loop, RefusesWhatCannotBeBatched) {
  VirtualBody body(options());
  ModelSpec spec = model();
  spec.sizes = {4, 6};
  InstanceId m = body.add(spec);
  QueryId queued = body.query(m, 3);
  QueryId fits = body.query(m, 8);
  body.advance(ms(50));
  EXPECT_EQ(body.answer(queued)->error.code, Code::kInvalidArgument);
  EXPECT_NE(body.answer(queued)->error.message.find("4, 6"), std::string::npos);
  EXPECT_TRUE(body.answer(fits)->ok) << "4 and 4";
  EXPECT_EQ(body.answer(body.query(m, 5))->error.code, Code::kInvalidArgument);
  QueryId many = body.query(m, 9), none = body.query(m, 0);
  EXPECT_NE(body.answer(many)->error.message.find("1 to 8"), std::string::npos);
  EXPECT_FALSE(body.answer(none)->ok);
  EXPECT_FALSE(body.answer(body.query(m, 1, kNever, 0, 0))->ok) << "bucket 0 is no shape";
}

TEST(Loop, PadsOnlyWhereAllowed) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.sizes = {4, 8};
  spec.settings.allow_padding = true;
  InstanceId m = body.add(spec);
  QueryId q = body.query(m, 3);
  body.advance(ms(50));
  EXPECT_TRUE(body.answer(q)->ok);
  EXPECT_EQ(body.sent<Start>().back().parts, (std::vector<StartPart>{{4, 3}}));
}

TEST(Loop, TheSloIsADeadline) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.slo = ms(20);
  InstanceId m = body.add(spec);
  body.warm(m);
  // 100 at once, 8 a batch, 4.5 ms each: those at the end cannot be served in 20 ms.
  std::vector<QueryId> all;
  for (int i = 0; i < 100; ++i) all.push_back(body.query(m));
  Nanos deadline = body.now() + ms(20);
  body.advance(ms(100));
  int served = 0;
  for (QueryId q : all) {
    const testing::Answer* a = body.answer(q);
    ASSERT_NE(a, nullptr);
    EXPECT_LE(a->at, deadline) << "neither served late nor told late";
    served += a->ok;
    if (!a->ok) {
      EXPECT_EQ(a->reason, ShedReason::kDeadlineUnreachable);
      for (const char* part : {"model m", "predicted", "left", "queued", "accepted"})
        EXPECT_NE(a->error.message.find(part), std::string::npos) << a->error.message;
    }
  }
  EXPECT_GE(served, 24);
}

TEST(Loop, WithoutDeadlineNothingIsShedForTime) {
  VirtualBody body(options(1));
  InstanceId m = body.add(model());
  for (int i = 0; i < 500; ++i) body.query(m);
  body.advance(Nanos::from_seconds(5));
  for (const auto& [q, a] : body.answers()) EXPECT_TRUE(a.ok);
  EXPECT_EQ(body.answers().size(), 500u);
}

TEST(Loop, AnExpiredDeadlineIsToldAtOnce) {
  VirtualBody body(options());
  InstanceId m = body.add(model());
  QueryId q = body.query(m, 1, body.now());
  ASSERT_NE(body.answer(q), nullptr);
  EXPECT_EQ(body.answer(q)->reason, ShedReason::kDeadlinePassed);
  EXPECT_EQ(body.answer(q)->error.code, Code::kDeadlineExceeded);
  // One that expires while its shape is being compiled.
  Nanos deadline = body.now() + us(500);
  QueryId r = body.query(m, 1, deadline);
  body.advance(us(600));
  ASSERT_NE(body.answer(r), nullptr);
  EXPECT_EQ(body.answer(r)->at, deadline);
  EXPECT_EQ(body.answer(r)->reason, ShedReason::kDeadlinePassed);
}

TEST(Loop, TheQueueHasItsLimit) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.max_queue = 3;
  InstanceId m = body.add(spec);
  body.warm(m);
  std::vector<QueryId> all;
  for (int i = 0; i < 5; ++i) all.push_back(body.query(m));
  EXPECT_EQ(body.answer(all[3]), nullptr) << "one runs, three wait";
  ASSERT_NE(body.answer(all[4]), nullptr);
  EXPECT_EQ(body.answer(all[4])->reason, ShedReason::kQueueFull);
  EXPECT_NE(body.answer(all[4])->error.message.find("at most 3"), std::string::npos);
}

TEST(Loop, MemoryIsABudget) {
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
  // One that can never run is told so instead of waiting.
  QueryId wide = body.query(m, 4, kNever, 0, 7, Bytes(1));
  ASSERT_NE(body.answer(wide), nullptr);
  EXPECT_EQ(body.answer(wide)->reason, ShedReason::kOverBudget);
  // Weights that do not fit.
  InstanceId n = body.add(model("n"));
  EXPECT_EQ(body.state(n), Lifecycle::kFailed);
  EXPECT_NE(body.loop().status()[1].reason.message.find("1000 bytes"), std::string::npos);
}

TEST(Loop, BucketsAreKeptByLeastRecentUse) {
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

TEST(Loop, CancelledQueriesAreAnsweredAtOnce) {
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

TEST(Loop, LateCompletionsFailTheirQueries) {
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

TEST(Loop, NothingWaitsForADeadDevice) {
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

TEST(Loop, UrgentQueriesPreempt) {
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

TEST(Loop, StalePausesDoNotFreeCores) {
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

TEST(Loop, PreservesOrderWhereAsked) {
  VirtualBody body(options(2));
  ModelSpec spec = model();
  spec.settings.preserve_ordering = true;
  spec.settings.dynamic_batching = false;
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m);
  QueryId slow = body.query(m, 8), fast = body.query(m, 1);
  body.advance(us(1600));
  EXPECT_EQ(body.executions(), 1u) << "the fast one has ended";
  EXPECT_EQ(body.answer(fast), nullptr);
  body.advance(ms(20));
  EXPECT_EQ(body.answer(fast)->at, body.answer(slow)->at);
  EXPECT_TRUE(body.answer(fast)->ok);
  // A cancelled one holds nobody up.
  body.query(m);
  QueryId a = body.query(m, 8), b = body.query(m, 1);
  body.advance(us(600));
  body.send(Cancelled{a});
  body.advance(us(1600));
  EXPECT_NE(body.answer(b), nullptr);
  EXPECT_NE(body.answer(a), nullptr);
}

TEST(Loop, PrioritiesComeFirstWithinAModel) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.priority_levels = 2;
  spec.settings.default_priority = 2;
  spec.settings.dynamic_batching = false;
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m);
  QueryId low = body.query(m), high = body.query(m, 1, kNever, 1), odd = body.query(m, 1, kNever, 77);
  body.advance(ms(50));
  EXPECT_LT(body.answer(high)->at, body.answer(low)->at);
  EXPECT_LT(body.answer(low)->at, body.answer(odd)->at) << "a priority that does not exist is the default";
}

TEST(Loop, OverdueQueriesRunByDueAcrossPriorities) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.priority_levels = 2;
  spec.settings.default_priority = 2;
  spec.settings.dynamic_batching = false;
  InstanceId m = body.add(spec);
  body.warm(m);
  body.query(m, 8);
  Nanos now = body.now();
  QueryId late(1000), later(1001);
  body.send(Arrived{late, m, 7, 1, Bytes(1), now - ms(3000), kNever, 2, {}});
  body.send(Arrived{later, m, 7, 1, Bytes(1), now - ms(2000), kNever, 1, {}});
  body.advance(ms(50));
  EXPECT_LT(body.answer(late)->at, body.answer(later)->at);
}

TEST(Loop, AnOverdueQueryIsNotHeldBack) {
  VirtualBody body(options(1));
  ModelSpec spec = model();
  spec.settings.max_queue_delay = ms(100);
  InstanceId m = body.add(spec);
  body.warm(m);
  body.advance(ms(100));
  body.clear();
  body.send(Arrived{QueryId(1000), m, 7, 1, Bytes(1), body.now() - ms(1001), kNever, 0, {}});
  EXPECT_EQ(body.sent<Start>().size(), 1u);
}

TEST(Loop, ImpossibleTimesTeachNothing) {
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

TEST(Loop, UnloadingForgetsShapesUnderWay) {
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

TEST(Loop, CoresAreDividedAmongWhatWaits) {
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

TEST(Loop, IgnoresWhatItDoesNotKnow) {
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

TEST(Loop, AClockThatJumpsIsFine) {
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

TEST(Loop, ReconfiguresInPlace) {
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

TEST(Loop, LoadsThatNeverEndFail) {
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
