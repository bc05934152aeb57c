// Campaign: many seeds, and what they came to together. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "body/sim/trial.h"

namespace motet::sim {

struct CampaignTotals {
  uint64_t seeds = 0, events = 0, actions = 0;
  double virtual_hours = 0;
  ActionCounts action_kinds{};
  FaultCounts faults{};
  AnswerCounts answers;
  std::vector<TrialReport> violations;  // one a seed
};

// Runs seeds first .. first+count-1, each twice. `done` is called after each; it returns false to stop.
CampaignTotals run_campaign(uint64_t first, uint64_t count, const MakeLoop& make_loop,
                            const std::function<bool(const TrialReport&)>& done);

// One JSON object, with a newline at its end.
std::string to_json(const CampaignTotals& totals);

}  // namespace motet::sim
