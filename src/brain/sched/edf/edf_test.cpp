// EDF's decisions one by one, on views made by hand. What holds over time is in control/dispatcher_contract_test.cpp.
#include "brain/sched/edf/edf.h"

#include <gtest/gtest.h>

#include <deque>

namespace motet::brain {
namespace {

Nanos ms(int64_t n) { return Nanos::from_millis(n); }

// A domain's state as the loop would hold it.
class State {
 public:
  explicit State(int cores) : all_(CoreSet::range(0, cores)), free(all_) {}

  // predicted[w-1]; sizes 1, 2, 4, each row as long as the first.
  Bucket& add(int id, std::vector<Nanos> predicted) {
    Instance& i = instances[InstanceId(static_cast<uint64_t>(id))];
    i.id = InstanceId(static_cast<uint64_t>(id));
    i.settings.name = "m" + std::to_string(id);
    i.settings.max_batch = 4;
    i.settings.dynamic_batching = true;
    i.state = Lifecycle::kReady;
    i.share = all_;
    Bucket& b = i.buckets[1];
    b.id = 1;
    b.instance = &i;
    b.phase = BucketPhase::kReady;
    b.last_started = now;
    for (int batch : {1, 2, 4}) {
      std::vector<Nanos> times;
      for (Nanos p : predicted) times.push_back(p * batch);
      b.programs.push_back({{batch, Bytes(100 * batch), times}, ProgramLatency(times)});
    }
    return b;
  }
  Query& wait(Bucket& b, Nanos deadline, int rows = 1) {
    Query& q = queries.emplace_back();
    q.id = QueryId(queries.size());
    q.sequence = queries.size();
    q.bucket = &b;
    q.rows = rows;
    q.arrived_at = q.admitted_at = now;
    q.deadline = deadline;
    q.due = deadline != kNever ? deadline : now + EdfDispatcher::kPatience;
    (q.timed() ? b.queue.levels[0].timed : b.queue.levels[0].untimed).insert(&q);
    if (b.queue.oldest == nullptr) b.queue.oldest = &q;
    ++b.queue.queries;
    b.queue.rows += rows;
    if (b.ready_key) ready.erase(*b.ready_key);
    const Query* head = b.queue.most_due();
    b.ready_key = {head->due, head->sequence};
    ready[*b.ready_key] = &b;
    return q;
  }
  Execution& run(Bucket& b, CoreSet cores, Nanos time, Nanos due, Nanos deadline) {
    ExecutionId id(executions.size() + 1);
    Execution& e = executions[id];
    e.id = id;
    e.bucket = &b;
    e.parts = {{1, 1}};
    e.cores = cores;
    e.predicted = {time, time};
    e.resumed_at = now;
    e.due = due;
    e.deadline = deadline;
    free = free - cores;
    return e;
  }
  Decision next() {
    DispatchView view{now, free, ready, instances, executions, memory_left};
    PolicyState policy;
    return EdfDispatcher().next(view, policy);
  }

 private:
  CoreSet all_;

 public:
  Nanos now = ms(1000);
  CoreSet free;
  Bytes memory_left{1'000'000};
  Ready ready;
  std::map<InstanceId, Instance> instances;
  std::map<ExecutionId, Execution> executions;
  std::deque<Query> queries;
};

template <class T>
T get(Decision decision) {
  EXPECT_TRUE(std::holds_alternative<T>(decision)) << "decision " << decision.index();
  return std::holds_alternative<T>(decision) ? std::get<T>(std::move(decision)) : T{};
}

TEST(Edf, WaitsWithNothingToDo) {
  State s(2);
  s.add(1, {ms(10)});
  EXPECT_EQ(get<Wait>(s.next()).until, kNever);
}

TEST(Edf, TakesTheEarliestDeadlineFirst) {
  State s(1);
  Bucket &a = s.add(1, {ms(10)}), &b = s.add(2, {ms(10)});
  s.wait(a, kNever);
  s.wait(a, s.now + ms(900));
  Query& sooner = s.wait(b, s.now + ms(300));
  StartBatch start = get<StartBatch>(s.next());
  EXPECT_EQ(start.bucket, &b);
  EXPECT_EQ(start.queries, (std::vector<const Query*>{&sooner}));
}

TEST(Edf, DoesNotGrowABatchBeyondADeadline) {
  State s(1);
  Bucket& a = s.add(1, {ms(10)});
  for (int i = 0; i < 4; ++i) s.wait(a, s.now + ms(35));
  // Two rows: 20 ms, 30 at the most; three would be 45.
  EXPECT_EQ(get<StartBatch>(s.next()).queries.size(), 2u);
  State t(1);
  Bucket& b = t.add(1, {ms(10)});
  for (int i = 0; i < 5; ++i) t.wait(b, t.now + ms(500));
  EXPECT_EQ(get<StartBatch>(t.next()).queries.size(), 4u) << "max_batch";
}

TEST(Edf, ShedsWhatCannotBeMet) {
  State s(1);
  Bucket& a = s.add(1, {ms(10)});
  Query& doomed = s.wait(a, s.now + ms(8));
  ShedQuery shed = get<ShedQuery>(s.next());
  EXPECT_EQ(shed.query, &doomed);
  EXPECT_EQ(shed.reason, ShedReason::kDeadlineUnreachable);
  EXPECT_EQ(shed.error.message,
            "model m1: the deadline cannot be met: 10.000 ms are predicted, 8.000 ms are left, 1 queries are queued; "
            "accepted with 10.000 ms or more left");
}

TEST(Edf, GivesATightSloItsChance) {
  // Between the median (10 ms) and the upper bound (15): it would never be served if judged by the latter.
  State s(1);
  Bucket& a = s.add(1, {ms(10)});
  s.wait(a, s.now + ms(12));
  get<StartBatch>(s.next());
  // One that had time at first and has waited it away is shed.
  State t(1);
  Bucket& b = t.add(1, {ms(10)});
  t.wait(b, t.now + ms(12)).arrived_at = t.now - ms(10);
  get<ShedQuery>(t.next());
}

TEST(Edf, TriesAgainWhatIsOnlyShed) {
  State s(1);
  Bucket& a = s.add(1, {ms(50)});
  s.now += EdfDispatcher::kProbe;
  Query& first = s.wait(a, s.now + ms(10));
  s.wait(a, s.now + ms(10));
  EXPECT_EQ(get<StartBatch>(s.next()).queries, (std::vector<const Query*>{&first}));
  a.last_started = s.now;
  get<ShedQuery>(s.next());
}

TEST(Edf, CountsTheTimeUntilACoreIsFree) {
  State s(1);
  Bucket &a = s.add(1, {ms(10)}), &b = s.add(2, {ms(10)});
  // What runs is more urgent, and for 30 ms more.
  s.run(b, CoreSet::single(0), ms(30), s.now + ms(20), s.now + ms(20));
  s.wait(a, s.now + ms(40));
  EXPECT_NE(get<ShedQuery>(s.next()).error.message.find("from 30.000 ms on"), std::string::npos);
}

TEST(Edf, DividesCoresAmongWhatWaits) {
  State s(4);
  Bucket &a = s.add(1, {ms(40), ms(20), ms(14), ms(10)}), &b = s.add(2, {ms(40), ms(20), ms(14), ms(10)});
  s.wait(a, kNever);
  EXPECT_EQ(get<StartBatch>(s.next()).cores, CoreSet::range(0, 4));
  s.wait(b, kNever);
  EXPECT_EQ(get<StartBatch>(s.next()).cores, CoreSet::range(2, 2)) << "the highest: core 0 is shared with the loop";
  // A deadline that needs more than its part gets it.
  State t(4);
  Bucket &c = t.add(1, {ms(40), ms(20), ms(14), ms(10)}), &d = t.add(2, {ms(40), ms(20), ms(14), ms(10)});
  t.wait(c, t.now + ms(16));
  t.wait(d, kNever);
  EXPECT_EQ(get<StartBatch>(t.next()).cores.size(), 4);
  // Cores that hardly help are left to others.
  State u(4);
  u.wait(u.add(1, {ms(40), ms(39), ms(39), ms(39)}), kNever);
  EXPECT_EQ(get<StartBatch>(u.next()).cores.size(), 1);
}

TEST(Edf, KeepsToTheShare) {
  State s(4);
  Bucket& a = s.add(1, {ms(40), ms(20)});
  a.instance->share = CoreSet::single(1);
  s.wait(a, kNever);
  EXPECT_EQ(get<StartBatch>(s.next()).cores, CoreSet::single(1));
  s.free.remove(1);
  get<Wait>(s.next());
}

TEST(Edf, PreemptsOnlyWhereItHelps) {
  auto decide = [](Nanos running, Nanos running_deadline, Nanos deadline, Nanos ran) {
    State s(1);
    Bucket &slow = s.add(1, {running}), &quick = s.add(2, {ms(10)});
    Execution& e = s.run(slow, CoreSet::single(0), running, running_deadline, running_deadline);
    e.resumed_at = s.now - ran;
    s.wait(quick, deadline == kNever ? kNever : s.now + deadline);
    return s.next();
  };
  EXPECT_TRUE(std::holds_alternative<YieldExecution>(decide(ms(100), kNever, ms(20), ms(5))));
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(ms(100), kNever, ms(200), ms(5)))) << "it can wait for the end";
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(ms(100), kNever, kNever, ms(5)))) << "nothing presses it";
  EXPECT_TRUE(std::holds_alternative<Wait>(decide(ms(100), kNever, ms(20), ms(0)))) << "it has only just begun";
  EXPECT_FALSE(std::holds_alternative<YieldExecution>(decide(ms(100), ms(1105), ms(20), ms(5))))
      << "the one that runs would miss its own";
  EXPECT_FALSE(std::holds_alternative<YieldExecution>(decide(ms(100), ms(1010), ms(20), ms(5)))) << "it is due sooner";
}

TEST(Edf, CountsWithAStepThatNothingInterrupts) {
  // An execution has run for 5 of its 100 ms; a query of 10 ms (15 at the most) comes.
  auto decide = [](Nanos longest_step, Nanos deadline) {
    State s(1);
    Bucket &slow = s.add(1, {ms(100)}), &quick = s.add(2, {ms(10)});
    Execution& e = s.run(slow, CoreSet::single(0), ms(100), kNever, kNever);
    e.resumed_at = s.now - ms(5);
    e.longest_step = longest_step;
    s.wait(quick, s.now + deadline);
    return s.next();
  };
  EXPECT_NE(get<ShedQuery>(decide(ms(100), ms(50))).error.message.find("from 95.000 ms on"), std::string::npos)
      << "a model that is one step yields to nobody: what cannot wait for its end is told at once";
  get<Wait>(decide(ms(100), ms(111)));
  get<YieldExecution>(decide(ms(20), ms(50)));
  EXPECT_NE(get<ShedQuery>(decide(ms(40), ms(50))).error.message.find("from 40.000 ms on"), std::string::npos);
  State s(1);
  EXPECT_EQ(get<Wait>(decide(ms(20), ms(120))).until, s.now + ms(120 - 15 - 20)) << "the last chance for a yield";
}

TEST(Edf, ResumesInOrderOfUrgency) {
  State s(1);
  Bucket &slow = s.add(1, {ms(100)}), &quick = s.add(2, {ms(10)});
  Execution& e = s.run(slow, CoreSet(), ms(100), s.now + ms(500), kNever);
  e.phase = ExecutionPhase::kPaused;
  s.wait(quick, s.now + ms(400));
  EXPECT_EQ(get<StartBatch>(s.next()).bucket, &quick);
  e.due = s.now + ms(300);
  EXPECT_EQ(get<ResumeExecution>(s.next()).execution, e.id);
}

TEST(Edf, NoMemoryMeansWaitingForItOrTheTruth) {
  State s(2);
  Bucket& a = s.add(1, {ms(10)});
  s.memory_left = Bytes(250);
  for (int i = 0; i < 4; ++i) s.wait(a, kNever);
  EXPECT_EQ(get<StartBatch>(s.next()).queries.size(), 3u) << "2 and 1, in an arena of 200";
  s.memory_left = Bytes(50);
  EXPECT_EQ(get<ShedQuery>(s.next()).reason, ShedReason::kOverBudget) << "nothing runs that could give any back";
  s.run(a, CoreSet::single(0), ms(10), kNever, kNever);
  get<Wait>(s.next());
}

TEST(Edf, RowsThatFitOnlyInSmallerPartsRunInThoseWhenNothingElseDoes) {
  State s(2);
  Bucket& a = s.add(1, {ms(10)});
  s.memory_left = Bytes(250);
  Query& four = s.wait(a, kNever, 4);
  StartBatch start = get<StartBatch>(s.next());
  EXPECT_EQ(start.queries, std::vector<const Query*>{&four});
  EXPECT_EQ(start.parts, (std::vector<StartPart>{{2, 2}, {2, 2}})) << "in an arena of 200";
  s.run(a, CoreSet::single(0), ms(10), kNever, kNever);
  get<Wait>(s.next());
}

}  // namespace
}  // namespace motet::brain
