#include "body/sim/wrong_loops.h"

#include <gtest/gtest.h>

namespace motet::sim {
namespace {

constexpr uint64_t kSeeds = 200;

class WrongLoops : public testing::TestWithParam<size_t> {};

TEST_P(WrongLoops, IsFoundWithinTwoHundredSeeds) {
  const WrongLoop& wrong = wrong_loops()[GetParam()];
  uint64_t found = 0;
  for (uint64_t seed = 1; seed <= kSeeds && found == 0; ++seed) {
    TrialReport report = run_trial(seed, wrong_loop(wrong));
    if (!report.violation) continue;
    found = seed;
    // It is the decorator that is found: the loop behind it passes the same seed.
    TrialReport right = run_trial(seed, right_loop());
    EXPECT_FALSE(right.violation) << explain(right, right_loop());
    RecordProperty("rule", report.violation->rule);
    std::printf("%s: found in seed %llu by \"%s\"\n", std::string(wrong.name).c_str(),
                static_cast<unsigned long long>(seed), report.violation->rule.c_str());
  }
  EXPECT_GT(found, 0u) << wrong.name << " (" << wrong.what << ") was not found within " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Five, WrongLoops, testing::Range<size_t>(0, 5));

TEST(WrongLoops, AreFive) { EXPECT_EQ(wrong_loops().size(), 5u); }

}  // namespace
}  // namespace motet::sim
