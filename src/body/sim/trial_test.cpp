#include "body/sim/trial.h"

#include <gtest/gtest.h>

#include "body/sim/campaign.h"
#include "body/sim/timeline.h"
#include "body/sim/wrong_loops.h"

namespace motet::sim {
namespace {

TEST(Timeline, OrdersByInstantAndThenByEntry) {
  Timeline<int> timeline;
  timeline.enter(Nanos(5), 1);
  timeline.enter(Nanos(3), 2);
  timeline.enter(Nanos(5), 3);
  timeline.enter(Nanos(3), 4);
  EXPECT_EQ(timeline.next(), Nanos(3));
  std::vector<int> order;
  while (!timeline.empty()) order.push_back(timeline.pop());
  EXPECT_EQ(order, (std::vector<int>{2, 4, 1, 3}));
}

TEST(Timeline, PostponesWhatIsNamed) {
  Timeline<int> timeline;
  for (int i = 0; i < 6; ++i) timeline.enter(Nanos(i), i);
  timeline.postpone(Nanos(100), [](int i) { return i % 2 == 0; });
  std::vector<int> order;
  while (!timeline.empty()) order.push_back(timeline.pop());
  EXPECT_EQ(order, (std::vector<int>{1, 3, 5, 0, 2, 4}));
}

TEST(Scenario, IsTheSameForTheSameSeed) {
  EXPECT_EQ(describe(draw_scenario(7)), describe(draw_scenario(7)));
  EXPECT_NE(describe(draw_scenario(7)), describe(draw_scenario(8)));
}

TEST(Trial, TheLoopKeepsItsPromises) {
  CampaignTotals totals = run_campaign(1, 100, right_loop(), [](const TrialReport&) { return true; });
  EXPECT_EQ(totals.seeds, 100u);
  for (const TrialReport& report : totals.violations) ADD_FAILURE() << explain(report, right_loop());
  // A test bed in which little happens proves little.
  EXPECT_GT(totals.answers.ok, 5'000u);
  EXPECT_GT(totals.virtual_hours, 5.0);
  for (size_t f = 0; f < kFaultKinds; ++f)
    EXPECT_GT(totals.faults[f], 0u) << fault_name(static_cast<Fault>(f)) << " never happened";
  for (uint64_t shed : totals.answers.shed) EXPECT_GT(shed, 0u);
  EXPECT_GT(totals.answers.cancelled, 0u);
  EXPECT_GT(totals.answers.failed, 0u);
}

TEST(Trial, AFailingSeedIsToldInWordsAndReplays) {
  const WrongLoop& wrong = wrong_loops()[1];
  TrialReport report;
  for (uint64_t seed = 1; seed <= 200 && !report.violation; ++seed) report = run_trial(seed, wrong_loop(wrong));
  ASSERT_TRUE(report.violation);
  TrialReport again = run_trial(report.seed, wrong_loop(wrong));
  ASSERT_TRUE(again.violation);
  EXPECT_EQ(again.violation->words, report.violation->words);
  EXPECT_EQ(again.fingerprint, report.fingerprint);
  std::string text = explain(report, wrong_loop(wrong), 10);
  EXPECT_NE(text.find("seed " + std::to_string(report.seed)), std::string::npos);
  EXPECT_NE(text.find(report.violation->words), std::string::npos);
  EXPECT_NE(text.find("-> Reply to query"), std::string::npos);
  EXPECT_NE(text.find("build/motet-vopr --seed " + std::to_string(report.seed) + " --verbose"), std::string::npos);
}

// The same events, and now and then another action: what "determinism" is there for.
TEST(Trial, ALoopThatIsNotAFunctionOfItsEventsIsFound) {
  class Moody final : public brain::Loop {
   public:
    Moody(std::unique_ptr<brain::Loop> right, bool wakes) : right_(std::move(right)), wakes_(wakes) {}
    std::span<const brain::Action> step(const brain::Event& event, Nanos now) override {
      auto actions = right_->step(event, now);
      actions_.assign(actions.begin(), actions.end());
      if (wakes_ && ++steps_ == 20) actions_.push_back(brain::WakeAt{now + Nanos(1)});
      return actions_;
    }
    std::vector<brain::InstanceStatus> status() const override { return right_->status(); }
    Bytes charged() const override { return right_->charged(); }
    brain::PlanInput plan_input() const override { return right_->plan_input(); }

   private:
    std::unique_ptr<brain::Loop> right_;
    bool wakes_;
    int steps_ = 0;
    std::vector<brain::Action> actions_;
  };
  int made = 0;
  MakeLoop moody = [&made](const brain::LoopOptions& options) -> Result<std::unique_ptr<brain::Loop>> {
    MOTET_ASSIGN(std::unique_ptr<brain::Loop> right, brain::Loop::create(options));
    return std::unique_ptr<brain::Loop>(std::make_unique<Moody>(std::move(right), made++ % 2 == 1));
  };
  TrialReport report = run_twice(3, moody);
  ASSERT_TRUE(report.violation);
  EXPECT_EQ(report.violation->rule, "determinism");
}

TEST(Campaign, WritesItsTotalsAsJson) {
  CampaignTotals totals = run_campaign(1, 2, wrong_loop(wrong_loops()[1]), [](const TrialReport&) { return true; });
  std::string json = to_json(totals);
  EXPECT_NE(json.find("\"bar\": \"vopr-violations\""), std::string::npos);
  EXPECT_NE(json.find("\"seeds\": 2"), std::string::npos);
  EXPECT_NE(json.find("\"lost completion\": "), std::string::npos);
}

}  // namespace
}  // namespace motet::sim
