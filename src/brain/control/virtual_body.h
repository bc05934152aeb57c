// VirtualBody: carries out a loop's actions in virtual time, for the tests of brain/. Devices are exact or noisy, loads
// take a millisecond; every action is checked against what the loop promises: one answer a query, disjoint cores,
// memory within the budget and accounted for to the byte, queries only in one execution. Not for production: body/sim
// is.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "brain/control/codec.h"
#include "brain/control/loop.h"

namespace motet::brain::testing {

inline Nanos us(int64_t n) { return Nanos::from_micros(n); }
inline Nanos ms(int64_t n) { return Nanos::from_millis(n); }

// Time for a batch: a fixed cost and a cost a row, divided over the width.
struct Speed {
  Nanos fixed = us(500);
  Nanos per_row = us(500);
  Nanos at(int rows, int width) const { return (fixed + per_row * rows) / width; }
};

struct ModelSpec {
  ModelSettings settings;
  std::vector<int> sizes = {1, 2, 4, 8};
  Speed speed;
  Bytes weights{1000};
  Bytes bucket_bytes{100};
  Bytes arena_per_row{10};
  bool one_step = false;     // nothing interrupts its runs
  int run_percent = 100;     // what its runs take, of what is predicted
  std::string load_error;    // fails to load with this
  std::string bucket_error;  // its shapes fail with this
};

struct Answer {
  Nanos at;
  bool ok = false;
  bool shed = false;
  ShedReason reason = ShedReason::kDeadlinePassed;
  Error error;
};

class VirtualBody {
 public:
  explicit VirtualBody(const LoopOptions& options) : options_(options) {
    auto loop = Loop::create(options);
    EXPECT_TRUE(loop.ok());
    loop_ = std::move(loop).value();
  }

  // ---- what a test does ----
  InstanceId add(const ModelSpec& spec, bool let_it_load = true) {
    InstanceId id(++instances_);
    models_[id] = spec;
    send(ConfigChanged{id, true, spec.settings, spec.weights});
    if (let_it_load) run_until(now_ + ms(5));
    return id;
  }
  QueryId query(InstanceId instance, int rows = 1, Nanos deadline = kNever, int priority = 0, BucketId bucket = 7,
                Bytes bytes = Bytes(5)) {
    QueryId id(++queries_);
    send(Arrived{id, instance, bucket, rows, bytes, now_, deadline, priority, TenantId(1)});
    return id;
  }
  // Loads the bucket and lets everything end.
  void warm(InstanceId instance, BucketId bucket = 7) {
    query(instance, 1, kNever, 0, bucket);
    run_until(now_ + ms(100));
  }
  void send(const Event& event) {
    std::vector<Action> actions;
    for (const Action& a : loop_->step(event, now_)) actions.push_back(a);
    append_event(trace_, now_, event);
    note(event);
    for (const Action& a : actions) {
      append_action(trace_, a);
      last_.push_back(a);
      std::visit([&](const auto& x) { carry_out(x); }, a);
    }
    check_memory();
  }
  void run_until(Nanos end) {
    while (!pending_.empty() && pending_.begin()->first.first <= end) {
      now_ = std::max(now_, pending_.begin()->first.first);
      Event event = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      if (deliver(event)) send(event);
    }
    now_ = std::max(now_, end);
  }
  void post(Nanos at, Event event) { pending_.emplace(std::pair(at, ++posted_), std::move(event)); }
  void advance(Nanos by) { run_until(now_ + by); }

  // ---- what a test sees ----
  template <class T>
  std::vector<T> sent() const {  // actions of one kind since clear()
    std::vector<T> found;
    for (const Action& a : last_)
      if (const T* t = std::get_if<T>(&a)) found.push_back(*t);
    return found;
  }
  void clear() { last_.clear(); }
  const Answer* answer(QueryId id) const {
    auto at = answers_.find(id);
    return at == answers_.end() ? nullptr : &at->second;
  }
  Lifecycle state(InstanceId id) const {
    for (const InstanceStatus& s : loop_->status())
      if (s.instance == id) return s.state;
    return Lifecycle::kUnloaded;
  }
  size_t waiting() const { return live_.size(); }
  size_t executions() const { return runs_.size(); }
  const std::string& trace() const { return trace_; }
  Loop& loop() { return *loop_; }
  Nanos now() const { return now_; }
  const std::map<QueryId, Answer>& answers() const { return answers_; }

  // ---- faults ----
  std::optional<Random> noise;  // run times vary by +-half and faults below are drawn from it
  double lose_completion = 0;   // a completion never comes, unless killed
  double duplicate = 0;         // of any answer of the body
  bool deaf_to_kill = false;    // lost executions do not answer Kill either

 private:
  struct Run {
    Start start;
    CoreSet cores;
    Nanos remaining;  // at width 1
    Nanos resumed_at;
    uint64_t stretch = 0;  // completions of an earlier stretch on cores are void
    Bytes arena;
    int64_t steps = 0;
    bool lost = false;
    Nanos busy;
  };

  void note(const Event& event) {
    if (const auto* a = std::get_if<Arrived>(&event)) {
      if (!answers_.contains(a->query)) live_.emplace(a->query, a->bytes);
      rows_.emplace(a->query, a->rows);
    }
    if (const auto* c = std::get_if<ConfigChanged>(&event); c != nullptr && c->wanted) {
      models_[c->instance].settings = c->settings;
    }
  }

  // False for a completion that a pause or a kill has overtaken.
  bool deliver(const Event& event) {
    ExecutionId id;
    if (const auto* f = std::get_if<Finished>(&event)) id = f->execution;
    if (const auto* f = std::get_if<Failed>(&event)) id = f->execution;
    if (!id) return true;
    auto at = runs_.find(id);
    if (at == runs_.end()) return duplicate > 0;
    if (std::holds_alternative<Finished>(event) && at->second.stretch != due_stretch_[id]) return false;
    runs_.erase(at);
    if (duplicate > 0 && noise->chance(duplicate)) post(now_ + us(noise->between(0, 3000)), event);
    return true;
  }

  void take_cores(Run& run, const CoreSet& cores) {
    EXPECT_FALSE(cores.empty());
    EXPECT_TRUE(options_.cores.includes(cores));
    for (const auto& [id, other] : runs_)
      EXPECT_FALSE(&other != &run && other.cores.intersects(cores)) << "cores overlap";
    run.cores = cores;
    run.resumed_at = now_;
    ExecutionId id = run.start.execution;
    due_stretch_[id] = ++run.stretch;
    if (!run.lost) post(now_ + run.remaining / cores.size(), Finished{id, run.busy});
  }

  void carry_out(const Start& s) {
    const ModelSpec& spec = models_.at(s.instance);
    EXPECT_TRUE(loaded_.contains({s.instance, s.bucket})) << "a start on a shape that is not loaded";
    Run run;
    run.start = s;
    int rows = 0;
    for (const StartPart& p : s.parts) {
      rows += p.rows;
      EXPECT_TRUE(std::find(spec.sizes.begin(), spec.sizes.end(), p.batch) != spec.sizes.end());
      EXPECT_TRUE(p.rows == p.batch || spec.settings.allow_padding || spec.settings.max_batch == 0);
      run.remaining += spec.speed.at(p.batch, 1);
      run.arena = std::max(run.arena, Bytes(spec.arena_per_row.value * p.batch));
    }
    int given = 0;
    for (QueryId q : s.queries) {
      EXPECT_TRUE(live_.contains(q)) << "a query runs that is not waiting";
      EXPECT_TRUE(started_.insert(q).second) << "a query runs twice";
      given += rows_[q];
    }
    run.remaining = run.remaining * models_.at(s.instance).run_percent / 100;
    if (noise) {
      run.remaining = run.remaining * noise->between(50, 150) / 100;
      run.lost = noise->chance(lose_completion);
    }
    run.busy = run.remaining / s.cores.size();
    EXPECT_EQ(rows, given) << "the parts take the queries' rows";
    Run& placed = runs_.emplace(s.execution, std::move(run)).first->second;
    take_cores(placed, s.cores);
  }
  void carry_out(const Yield& y) {
    auto at = runs_.find(y.execution);
    if (at == runs_.end() || at->second.lost) return;
    Run& run = at->second;
    Nanos left = run.remaining - (now_ - run.resumed_at) * run.cores.size();
    if (left <= Nanos(0) || models_.at(run.start.instance).one_step) return;
    // It pauses at once, between two steps; the report takes a moment.
    run.remaining = left;
    ++run.stretch;
    run.steps += 1;
    post(now_ + us(50), Progress{y.execution, run.steps, 1000, true});
    run.cores = CoreSet();
  }
  void carry_out(const Resume& r) {
    auto at = runs_.find(r.execution);
    if (at == runs_.end()) return;
    take_cores(at->second, r.cores);
  }
  void carry_out(const Resize&) {}
  void carry_out(const Kill& k) {
    auto at = runs_.find(k.execution);
    if (at == runs_.end() || (at->second.lost && deaf_to_kill)) return;
    post(now_ + us(100), Failed{k.execution, {}, 0, {Code::kCancelled, "killed"}});
  }
  void settle(QueryId q, Answer a) {
    EXPECT_EQ(answers_.count(q), 0u) << "query " << q.value << " is answered twice";
    EXPECT_TRUE(live_.contains(q)) << "an answer to query " << q.value << " which is not there";
    if (!a.ok) EXPECT_FALSE(a.error.message.empty());
    live_.erase(q);
    answers_.emplace(q, std::move(a));
  }
  void carry_out(const Reply& r) { settle(r.query, {now_, r.ok, false, ShedReason::kDeadlinePassed, r.error}); }
  void carry_out(const Shed& s) { settle(s.query, {now_, false, true, s.reason, s.error}); }
  void carry_out(const Load& l) {
    const ModelSpec& spec = models_.at(l.instance);
    Event answer;
    if (l.bucket == 0) {
      answer = spec.load_error.empty() ? Event(Loaded{l.instance, 0, spec.settings.on_demand ? Bytes(0) : spec.weights, {}})
                                       : Event(Failed{{}, l.instance, 0, internal_error(spec.load_error)});
    } else if (!spec.bucket_error.empty()) {
      answer = Failed{{}, l.instance, l.bucket, internal_error(spec.bucket_error)};
    } else {
      Loaded loaded{l.instance, l.bucket, spec.bucket_bytes, {}};
      for (int size : spec.sizes) {
        ProgramFeatures f{size, Bytes(spec.arena_per_row.value * size), {}};
        for (int w = 1; w <= options_.cores.size(); ++w) f.predicted.push_back(spec.speed.at(size, w));
        if (spec.one_step) f.longest_step = f.predicted;
        loaded.programs.push_back(std::move(f));
      }
      answer = std::move(loaded);
    }
    if (duplicate > 0 && noise->chance(duplicate)) post(now_ + ms(2), answer);
    if (std::holds_alternative<Loaded>(answer)) loaded_.insert({{l.instance, l.bucket}, true});
    post(now_ + ms(1), std::move(answer));
  }
  void carry_out(const Unload& u) {
    if (u.bucket != 0) {
      loaded_.erase({u.instance, u.bucket});
    } else {
      post(now_ + ms(1), Unloaded{u.instance});
      for (auto at = loaded_.begin(); at != loaded_.end();)
        at = at->first.first == u.instance ? loaded_.erase(at) : std::next(at);
    }
  }
  void carry_out(const Plan&) {
    PlanInput input = loop_->plan_input();
    post(now_ + us(200), planners().front().make()->plan(input));
  }
  void carry_out(const WakeAt& w) {
    EXPECT_GT(w.at, now_);
    post(w.at, Tick{});
  }
  void check_memory() {
    EXPECT_LE(loop_->charged(), options_.memory_budget);
    Bytes least;
    for (const auto& [q, bytes] : live_) least += bytes;
    for (const auto& [id, run] : runs_) least += run.arena;
    EXPECT_GE(loop_->charged(), least) << "queries or arenas are not charged";
  }

  LoopOptions options_;
  std::unique_ptr<Loop> loop_;
  Nanos now_ = ms(1);
  uint64_t instances_ = 0, queries_ = 0, posted_ = 0;
  std::map<InstanceId, ModelSpec> models_;
  std::map<std::pair<Nanos, uint64_t>, Event> pending_;
  std::map<ExecutionId, Run> runs_;
  std::map<ExecutionId, uint64_t> due_stretch_;
  std::map<std::pair<InstanceId, BucketId>, bool> loaded_;
  std::map<QueryId, Bytes> live_;
  std::map<QueryId, int> rows_;
  std::set<QueryId> started_;
  std::map<QueryId, Answer> answers_;
  std::vector<Action> last_;
  std::string trace_;
};

}  // namespace motet::brain::testing
