// The loop with the default policy: what is admitted, batched with what, in which order, and shed when.
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

TEST(LoopQueue, BatchesWhileCoresAreBusy) {
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

TEST(LoopQueue, WithoutDynamicBatchingEachRunsAlone) {
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

TEST(LoopQueue, WaitsToGrowNoLongerThanAllowed) {
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

TEST(LoopQueue, PrefersPreferredSizes) {
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

TEST(LoopQueue, RefusesWhatCannotBeBatched) {
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

TEST(LoopQueue, PadsOnlyWhereAllowed) {
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

TEST(LoopQueue, TheSloIsADeadline) {
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

TEST(LoopQueue, WithoutDeadlineNothingIsShedForTime) {
  VirtualBody body(options(1));
  InstanceId m = body.add(model());
  for (int i = 0; i < 500; ++i) body.query(m);
  body.advance(Nanos::from_seconds(5));
  for (const auto& [q, a] : body.answers()) EXPECT_TRUE(a.ok);
  EXPECT_EQ(body.answers().size(), 500u);
}

TEST(LoopQueue, AnExpiredDeadlineIsToldAtOnce) {
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

TEST(LoopQueue, TheQueueHasItsLimit) {
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

TEST(LoopQueue, PreservesOrderWhereAsked) {
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

TEST(LoopQueue, PrioritiesComeFirstWithinAModel) {
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

TEST(LoopQueue, OverdueQueriesRunByDueAcrossPriorities) {
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

TEST(LoopQueue, AnOverdueQueryIsNotHeldBack) {
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

}  // namespace
}  // namespace motet::brain
