// Each rule of the checker can fire: the real loop, its events or actions spoilt in one way, is found by that rule.
#include <gtest/gtest.h>

#include <set>

#include "body/sim/trial.h"

namespace motet::sim {
namespace {

struct Spoilt {
  std::string rule;  // that must be the first to fire
  // May change what the loop hears (false: it hears a Tick instead) and what it answers.
  std::function<bool(brain::Event&)> event;
  std::function<void(std::vector<brain::Action>&, Nanos now)> actions;
  std::function<void(brain::LoopOptions&)> options;
};

class SpoiltLoop final : public brain::Loop {
 public:
  SpoiltLoop(std::unique_ptr<brain::Loop> right, const Spoilt& spoilt) : right_(std::move(right)), spoilt_(spoilt) {}
  std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
    brain::Event heard = event;
    if (spoilt_.event && !spoilt_.event(heard)) heard = brain::Tick{};
    auto actions = right_->step(heard, now);
    actions_.assign(actions.begin(), actions.end());
    if (spoilt_.actions) spoilt_.actions(actions_, now);
    return actions_;
  }
  std::vector<brain::InstanceStatus> status() const override { return right_->status(); }
  Bytes charged() const override { return right_->charged(); }
  brain::PlanInput plan_input() const override { return right_->plan_input(); }

 private:
  std::unique_ptr<brain::Loop> right_;
  Spoilt spoilt_;
  std::vector<brain::Action> actions_;
};

// Runs up to 300 seeds; the rules that fired first, up to and including `rule`.
std::set<std::string> rules_fired(const std::string& rule, const std::function<Spoilt()>& spoil) {
  std::set<std::string> fired;
  for (uint64_t seed = 1; seed <= 300 && !fired.contains(rule); ++seed) {
    TrialReport report =
        run_trial(seed, [&](const brain::LoopOptions& options) -> Result<std::unique_ptr<brain::Loop>> {
          Spoilt spoilt = spoil();
          brain::LoopOptions own = options;
          if (spoilt.options) spoilt.options(own);
          MOTET_ASSIGN(std::unique_ptr<brain::Loop> right, brain::Loop::create(own));
          return std::unique_ptr<brain::Loop>(std::make_unique<SpoiltLoop>(std::move(right), spoilt));
        });
    if (report.violation) fired.insert(report.violation->rule);
  }
  return fired;
}

void expect_found(const std::string& rule, const std::function<Spoilt()>& spoil) {
  EXPECT_TRUE(rules_fired(rule, spoil).contains(rule)) << "no seed was found by \"" << rule << "\"";
}

// Spoils the n-th action of one kind and each n-th after it.
template <class A>
std::function<Spoilt()> every(int n, std::function<void(A&)> change) {
  return [=] {
    auto seen = std::make_shared<int>(0);
    Spoilt spoilt;
    spoilt.actions = [=](std::vector<brain::Action>& actions, Nanos) {
      for (brain::Action& action : actions)
        if (A* a = std::get_if<A>(&action); a && ++*seen % n == 0) change(*a);
    };
    return spoilt;
  };
}

template <class E>
std::function<Spoilt()> hears(std::function<bool(E&)> change) {
  return [=] {
    Spoilt spoilt;
    spoilt.event = [=](brain::Event& event) {
      E* e = std::get_if<E>(&event);
      return !e || change(*e);
    };
    return spoilt;
  };
}

TEST(Rules, TrueAnswer) {
  expect_found("true answer",
               every<brain::Reply>(7, [](brain::Reply& a) { a.execution = ExecutionId(a.execution.value + 1); }));
  expect_found("true answer", every<brain::Reply>(1, [](brain::Reply& a) { a.ok = true; }));
}

TEST(Rules, Reason) {
  expect_found("reason", every<brain::Shed>(3, [](brain::Shed& a) { a.reason = brain::ShedReason::kQueueFull; }));
  expect_found("reason", every<brain::Shed>(3, [](brain::Shed& a) { a.error.message.clear(); }));
  expect_found("reason", every<brain::Reply>(5, [](brain::Reply& a) {
                 a.ok = false;
                 a.error = internal_error("for no reason");
               }));
}

TEST(Rules, Order) {
  // The loop does not hear that a model preserves order.
  expect_found("order", hears<brain::ConfigChanged>([](brain::ConfigChanged& e) {
                 e.settings.preserve_ordering = false;
                 return true;
               }));
}

TEST(Rules, Priority) {
  expect_found("priority", hears<brain::Arrived>([](brain::Arrived& e) {
                 if (e.priority > 0) e.priority = 5 - e.priority;
                 return true;
               }));
}

TEST(Rules, Starvation) {
  // Queries in no hurry seem to have just arrived, each time anew: none ever seems to have waited.
  expect_found("starvation", hears<brain::Arrived>([](brain::Arrived& e) {
                 if (e.deadline == kNever) e.deadline = e.arrived_at + Nanos::from_seconds(1'000'000);
                 return true;
               }));
}

TEST(Rules, Start) {
  // The loop believes that every model batches.
  expect_found("start", hears<brain::ConfigChanged>([](brain::ConfigChanged& e) {
                 e.settings.dynamic_batching = true;
                 e.settings.max_batch = std::max(2, e.settings.max_batch);
                 return true;
               }));
  expect_found("start", every<brain::Start>(10, [](brain::Start& a) { a.execution = ExecutionId(1); }));
}

TEST(Rules, Parts) {
  expect_found("parts", every<brain::Start>(10, [](brain::Start& a) { a.parts.front().batch += 1; }));
  expect_found("parts", hears<brain::ConfigChanged>([](brain::ConfigChanged& e) {
                 e.settings.allow_padding = true;
                 return true;
               }));
}

TEST(Rules, Partition) {
  expect_found("partition", every<brain::Start>(10, [](brain::Start& a) { a.cores.add(500); }));
  expect_found("partition", every<brain::Start>(10, [](brain::Start& a) { a.cores = CoreSet(); }));
}

TEST(Rules, Memory) {
  // The loop believes that programs need no arena.
  expect_found("memory", hears<brain::Loaded>([](brain::Loaded& e) {
                 for (brain::ProgramFeatures& p : e.programs) p.arena = Bytes(0);
                 return true;
               }));
}

TEST(Rules, Late) {
  expect_found("late", [] {
    Spoilt spoilt;
    spoilt.options = [](brain::LoopOptions& o) { o.lateness_slack = Nanos::from_seconds(1'000'000); };
    return spoilt;
  });
}

TEST(Rules, ExpiredAndUnwoken) {
  // The loop is never woken for a deadline, and does not know of the client's.
  expect_found("expired", hears<brain::Arrived>([](brain::Arrived& e) {
                 e.deadline = kNever;
                 return true;
               }));
}

TEST(Rules, Idle) {
  // A batch may wait ten times as long as the model allows.
  expect_found("idle", hears<brain::ConfigChanged>([](brain::ConfigChanged& e) {
                 e.settings.max_queue_delay = e.settings.max_queue_delay * 10;
                 return true;
               }));
}

TEST(Rules, Lifecycle) {
  expect_found("lifecycle", [] {
    Spoilt spoilt;
    spoilt.actions = [](std::vector<brain::Action>& actions, Nanos) {
      for (size_t i = 0; i < actions.size(); ++i)
        if (std::holds_alternative<brain::Load>(actions[i])) return actions.push_back(actions[i]);
    };
    return spoilt;
  });
}

TEST(Rules, PromptAnswer) {
  expect_found("prompt answer", hears<brain::Cancelled>([](brain::Cancelled&) { return false; }));
  expect_found("prompt answer", [] {
    Spoilt spoilt;
    spoilt.actions = [](std::vector<brain::Action>& actions, Nanos) {
      std::erase_if(actions, [](const brain::Action& a) { return std::holds_alternative<brain::Reply>(a); });
    };
    return spoilt;
  });
}

TEST(Rules, Wake) {
  expect_found("wake", [] {
    Spoilt spoilt;
    spoilt.actions = [](std::vector<brain::Action>& actions, Nanos now) { actions.push_back(brain::WakeAt{now}); };
    return spoilt;
  });
}

TEST(Rules, Rest) {
  expect_found("rest", hears<brain::ConfigChanged>([](brain::ConfigChanged& e) { return e.wanted; }));
}

TEST(Rules, ServesAgain) {
  // The loop takes the probe, which is known by its one byte, for far too large.
  expect_found("serves again", [] {
    Spoilt spoilt;
    spoilt.event = [](brain::Event& event) {
      auto* arrived = std::get_if<brain::Arrived>(&event);
      if (arrived && arrived->bytes == Bytes(1)) arrived->rows = 1'000'000;
      return true;
    };
    return spoilt;
  });
}

}  // namespace
}  // namespace motet::sim
