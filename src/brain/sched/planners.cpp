#include <array>

#include "brain/sched/planner.h"
#include "brain/sched/shared/shared.h"

namespace motet::brain {
namespace {

template <class T>
std::unique_ptr<Planner> make() {
  return std::make_unique<T>();
}

constexpr std::array kPlanners = {
    PlannerEntry{"shared", "one shared partition: every instance may use all cores", &make<SharedPlanner>},
};

}  // namespace

std::span<const PlannerEntry> planners() { return kPlanners; }

}  // namespace motet::brain
