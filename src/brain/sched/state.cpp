#include "brain/sched/state.h"

namespace motet::brain {

const Query* Queue::most_due() const {
  const Query* best = nullptr;
  for (const auto& [number, level] : levels) {
    for (const QuerySet* set : {&level.timed, &level.untimed}) {
      if (!set->empty() && (best == nullptr || ByDue()(*set->begin(), best))) best = *set->begin();
    }
  }
  return best;
}

Nanos Queue::earliest_deadline() const {
  Nanos earliest = kNever;
  for (const auto& [number, level] : levels)
    if (!level.timed.empty() && (*level.timed.begin())->deadline < earliest)
      earliest = (*level.timed.begin())->deadline;
  return earliest;
}

}  // namespace motet::brain
