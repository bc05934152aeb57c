#include "compute/ops/support/choices.h"

#include <gtest/gtest.h>

namespace motet::ops {
namespace {

TEST(Choices, AreMeasuredOnceAndKept) {
  Choices choices;
  int measured = 0;
  auto second = [&] { return ++measured, 1; };
  EXPECT_FALSE(choices.fresh());
  EXPECT_EQ(choices.pick("product [8,768,2304]", second), 1);
  EXPECT_EQ(choices.pick("product [8,768,2304]", second), 1);
  EXPECT_EQ(choices.pick("product [1,768,2304]", [&] { return ++measured, 0; }), 0);
  EXPECT_EQ(measured, 2);
  EXPECT_TRUE(choices.fresh());

  Choices later(choices.text());
  EXPECT_EQ(later.pick("product [8,768,2304]", second), 1);
  EXPECT_EQ(measured, 2);
  EXPECT_FALSE(later.fresh());
  EXPECT_EQ(later.text(), choices.text());
}

TEST(Choices, AreTheUsualOnesWhereNothingMayBeMeasured) {
  Choices choices("1 known\n", false);
  auto never = [] { return ADD_FAILURE(), 7; };
  EXPECT_EQ(choices.pick("known", never), 1);
  EXPECT_EQ(choices.pick("unknown", never), 0);
  EXPECT_FALSE(choices.fresh());
}

TEST(Choices, PassOverWhatIsNotTheirs) {
  EXPECT_EQ(Choices("x\n1\n\n12 a b\n 3 c\n").text(), "12 a b\n");
}

}  // namespace
}  // namespace motet::ops
