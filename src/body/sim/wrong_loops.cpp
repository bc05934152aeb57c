#include "body/sim/wrong_loops.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace motet::sim {
namespace {

class Decorator : public brain::Loop {
 public:
  Decorator(std::unique_ptr<brain::Loop> right, const brain::LoopOptions& options)
      : right_(std::move(right)), options_(options) {}
  std::vector<brain::InstanceStatus> status() const override { return right_->status(); }
  Bytes charged() const override { return right_->charged(); }
  brain::PlanInput plan_input() const override { return right_->plan_input(); }

 protected:
  // The right loop's answer, as a copy to spoil.
  std::vector<brain::Action>& ask(const brain::Event& event, Nanos now) {
    std::span<const brain::Action> actions = right_->step(event, now);
    actions_.assign(actions.begin(), actions.end());
    return actions_;
  }

  std::unique_ptr<brain::Loop> right_;
  const brain::LoopOptions options_;
  std::vector<brain::Action> actions_;
};

// Every 20th Finished is never heard: its queries wait until the execution counts as late.
class ForgetsFinished final : public Decorator {
 public:
  using Decorator::Decorator;
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    bool forgets = std::holds_alternative<brain::Finished>(event) && ++finished_ % 20 == 0;
    return forgets ? ask(brain::Tick{}, now) : ask(event, now);
  }

 private:
  int finished_ = 0;
};

// After every 50th Reply, the same one again in a later step.
class RepliesTwice final : public Decorator {
 public:
  using Decorator::Decorator;
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    std::vector<brain::Action>& actions = ask(event, now);
    size_t from_right = actions.size();
    if (again_) actions.push_back(*std::exchange(again_, std::nullopt));
    for (size_t i = 0; i < from_right; ++i)
      if (std::holds_alternative<brain::Reply>(actions[i]) && ++replies_ % 50 == 0) again_ = actions[i];
    return actions;
  }

 private:
  int replies_ = 0;
  std::optional<brain::Action> again_;
};

// The arena of every 20th finished execution stays charged for ever, and queries are refused for want of it.
class LeaksArena final : public Decorator {
 public:
  using Decorator::Decorator;
  Bytes charged() const override { return right_->charged() + leaked_; }
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    if (const auto* loaded = std::get_if<brain::Loaded>(&event))
      for (const brain::ProgramFeatures& p : loaded->programs)
        arenas_[{loaded->instance, loaded->bucket, p.batch}] = p.arena;
    if (const auto* arrived = std::get_if<brain::Arrived>(&event); arrived && leaked_ > Bytes(0)) {
      if (charged() + arrived->bytes > options_.memory_budget) {
        Error error = resource_exhausted("no memory is left");
        actions_.assign(1, brain::Shed{arrived->query, brain::ShedReason::kOverBudget, std::move(error)});
        return actions_;
      }
    }
    if (const auto* finished = std::get_if<brain::Finished>(&event)) {
      auto arena = running_.find(finished->execution);
      if (arena != running_.end() && ++finished_ % 20 == 0) leaked_ += arena->second;
    }
    std::vector<brain::Action>& actions = ask(event, now);
    for (const brain::Action& action : actions) {
      if (const auto* start = std::get_if<brain::Start>(&action))
        running_[start->execution] = arenas_[{start->instance, start->bucket, start->parts.front().batch}];
    }
    return actions;
  }

 private:
  std::map<std::tuple<InstanceId, brain::BucketId, int>, Bytes> arenas_;
  std::map<ExecutionId, Bytes> running_;
  Bytes leaked_;
  int finished_ = 0;
};

// Every 10th Start also gets a core that another execution holds, if one does.
class OverlapsPartitions final : public Decorator {
 public:
  using Decorator::Decorator;
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    if (const auto* finished = std::get_if<brain::Finished>(&event)) held_.erase(finished->execution);
    if (const auto* failed = std::get_if<brain::Failed>(&event)) held_.erase(failed->execution);
    std::vector<brain::Action>& actions = ask(event, now);
    for (brain::Action& action : actions) {
      auto* start = std::get_if<brain::Start>(&action);
      if (!start) continue;
      if (++starts_ % 10 == 0 && !held_.empty()) start->cores.add(held_.begin()->second.first());
      held_[start->execution] = start->cores;
    }
    return actions;
  }

 private:
  std::map<ExecutionId, CoreSet> held_;
  int starts_ = 0;
};

// Hears of one bucket's queries only while no other query is unanswered; with others always there, that is never. It
// keeps up appearances: they count as queued and charged, and are answered when they are cancelled.
class StarvesQueue final : public Decorator {
 public:
  using Decorator::Decorator;
  Bytes charged() const override {
    Bytes sum = right_->charged();
    for (const brain::Arrived& a : waiting_) sum += a.bytes;
    return sum;
  }
  std::vector<brain::InstanceStatus> status() const override {
    std::vector<brain::InstanceStatus> all = right_->status();
    for (brain::InstanceStatus& s : all)
      for (const brain::Arrived& a : waiting_) s.queued += a.instance == s.instance ? 1 : 0;
    return all;
  }
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    if (const auto* config = std::get_if<brain::ConfigChanged>(&event))
      calm_[config->instance] = config->wanted && config->settings.slo == kNever && config->settings.max_queue == 0 &&
                                !config->settings.preserve_ordering;
    actions_.clear();
    if (const auto* arrived = std::get_if<brain::Arrived>(&event); arrived && takes(*arrived)) {
      waiting_.push_back(*arrived);
    } else if (!cancel(event)) {
      if (arrived) unanswered_.insert(arrived->query);
      hear(event, now);
    }
    while (unanswered_.empty() && !waiting_.empty()) {
      brain::Arrived next = waiting_.front();
      waiting_.erase(waiting_.begin());
      unanswered_.insert(next.query);
      hear(next, now);
    }
    return all_ = std::exchange(actions_, {});
  }

 private:
  static constexpr int kFair = 10;  // arrivals before it picks its victim

  // Only what it can hide: a query in no hurry, of a model that is ready and refuses none.
  bool takes(const brain::Arrived& a) {
    if (a.deadline != kNever || !calm_[a.instance] || a.rows > 1) return false;
    std::vector<brain::InstanceStatus> all = right_->status();
    bool ready = std::any_of(all.begin(), all.end(), [&](const brain::InstanceStatus& s) {
      return s.instance == a.instance && s.state == brain::Lifecycle::kReady;
    });
    if (!ready || charged() + a.bytes > options_.memory_budget) return false;
    if (!starved_.first && ++arrivals_ > kFair) starved_ = {a.instance, a.bucket};
    return starved_ == std::pair(a.instance, a.bucket);
  }

  bool cancel(const brain::Event& event) {
    const auto* cancelled = std::get_if<brain::Cancelled>(&event);
    if (!cancelled) return false;
    size_t before = waiting_.size();
    std::erase_if(waiting_, [&](const brain::Arrived& a) { return a.query == cancelled->query; });
    if (waiting_.size() == before) return false;
    actions_.push_back(
        brain::Reply{cancelled->query, {}, false, {Code::kCancelled, "the client cancelled the request"}});
    return true;
  }

  void hear(const brain::Event& event, Nanos now) {
    for (const brain::Action& action : right_->step(event, now)) {
      if (const auto* reply = std::get_if<brain::Reply>(&action)) unanswered_.erase(reply->query);
      if (const auto* shed = std::get_if<brain::Shed>(&action)) unanswered_.erase(shed->query);
      actions_.push_back(action);
    }
  }

  int arrivals_ = 0;
  std::map<InstanceId, bool> calm_;
  std::pair<InstanceId, brain::BucketId> starved_;
  std::vector<brain::Arrived> waiting_;
  std::set<QueryId> unanswered_;
  std::vector<brain::Action> all_;
};

template <class Wrong>
std::unique_ptr<brain::Loop> decorate(std::unique_ptr<brain::Loop> right, const brain::LoopOptions& options) {
  return std::make_unique<Wrong>(std::move(right), options);
}

constexpr WrongLoop kWrongLoops[] = {
    {"forgets a Finished", "every 20th completion is not heard", decorate<ForgetsFinished>},
    {"replies twice", "every 50th reply is given again, one step later", decorate<RepliesTwice>},
    {"leaks an arena", "the bytes of every 20th finished execution stay charged", decorate<LeaksArena>},
    {"overlaps partitions", "every 10th start also gets a core that is held", decorate<OverlapsPartitions>},
    {"starves a queue", "one bucket's queries run only when nothing else is there", decorate<StarvesQueue>},
};

}  // namespace

std::span<const WrongLoop> wrong_loops() { return kWrongLoops; }

MakeLoop right_loop() {
  return [](const brain::LoopOptions& options) { return brain::Loop::create(options); };
}

MakeLoop wrong_loop(const WrongLoop& wrong) {
  return [decorate = wrong.decorate](const brain::LoopOptions& options) -> Result<std::unique_ptr<brain::Loop>> {
    MOTET_ASSIGN(std::unique_ptr<brain::Loop> right, brain::Loop::create(options));
    return decorate(std::move(right), options);
  };
}

}  // namespace motet::sim
