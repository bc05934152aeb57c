// One shared partition: every instance may use all cores of the domain, with batches as large as its own limit.
#pragma once

#include "brain/sched/planner.h"

namespace motet::brain {

class SharedPlanner final : public Planner {
 public:
  std::string_view name() const override { return "shared"; }
  PlanReady plan(const PlanInput& input) const override;
};

}  // namespace motet::brain
