// Trial: one seed's run of a loop in virtual time. First arrivals and faults; then the faults end, the device heals,
// and everything must come to rest; then each ready instance must serve a probe; then all are unloaded and nothing may
// stay charged. The same seed gives the same trial everywhere. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "body/sim/checker.h"
#include "body/sim/scenario.h"

namespace motet::sim {

using MakeLoop = std::function<Result<std::unique_ptr<brain::Loop>>(const brain::LoopOptions&)>;

using ActionCounts = std::array<uint64_t, std::variant_size_v<brain::Action>>;  // by alternative
// "Start", ...; REQUIRES: kind < variant_size.
std::string_view action_name(size_t kind);

struct TrialReport {
  uint64_t seed = 0;
  std::optional<Violation> violation;
  uint64_t events = 0, actions = 0;
  ActionCounts action_kinds{};
  Nanos virtual_time;
  FaultCounts faults{};
  AnswerCounts answers;
  uint64_t fingerprint = 0;  // of every action's bytes, in order
};

// Lines about events and actions as they happen; null: none are made.
using TrailSink = std::function<void(const std::string& line)>;

TrialReport run_trial(uint64_t seed, const MakeLoop& make_loop, const TrailSink& trail = nullptr);

// run_trial twice; different actions are a violation ("determinism") too.
TrialReport run_twice(uint64_t seed, const MakeLoop& make_loop);

// What a person needs of a failed trial: the seed, the rule in words, the last events and actions, and how to replay.
// Runs the seed again to collect them. REQUIRES: report.violation.
std::string explain(const TrialReport& report, const MakeLoop& make_loop, size_t lines = 30);

}  // namespace motet::sim
