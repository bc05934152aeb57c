#include "brain/sched/shared/shared.h"

namespace motet::brain {

PlanReady SharedPlanner::plan(const PlanInput& input) const {
  PlanReady ready{input.epoch, {}};
  for (const PlanInput::Demand& demand : input.demands) ready.shares.push_back({demand.instance, input.cores, 0});
  return ready;
}

}  // namespace motet::brain
