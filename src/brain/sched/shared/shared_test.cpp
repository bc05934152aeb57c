#include "brain/sched/shared/shared.h"

#include <gtest/gtest.h>

namespace motet::brain {
namespace {

TEST(SharedPlanner, GivesEveryInstanceAllCores) {
  PlanInput input{7, CoreSet::range(0, 3), {{InstanceId(4), {}, {}, 0}, {InstanceId(9), {}, {}, 10}}};
  PlanReady ready = SharedPlanner().plan(input);
  EXPECT_EQ(ready,
            (PlanReady{7, {{InstanceId(4), CoreSet::range(0, 3), 0}, {InstanceId(9), CoreSet::range(0, 3), 0}}}));
  EXPECT_TRUE(SharedPlanner().plan({}).shares.empty());
}

TEST(Planners, AreNamedOnce) {
  ASSERT_FALSE(planners().empty());
  for (const PlannerEntry& entry : planners()) {
    EXPECT_EQ(entry.make()->name(), entry.name);
    EXPECT_FALSE(entry.what.empty());
  }
}

}  // namespace
}  // namespace motet::brain
