// Faults: what can go wrong in a trial, and how often. Each seed draws which faults are on and how strong (swarm
// testing): a run with everything on at once hides what a run with two faults shows. Plain values and one seeded
// stream.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/random.h"

namespace motet::sim {

enum class Fault : uint8_t {
  kLateCompletion,       // a Finished or Failed travels for long
  kLostCompletion,       // ... does not come for long, or not until the device has healed
  kDuplicateCompletion,  // ... comes twice
  kReorderedCompletion,  // ... is overtaken by others
  kStrayCompletion,      // ... of an execution that never was
  kExecutionFails,
  kSlowExecution,
  kStuckExecution,  // stands still for long, or until the device has healed
  kWrongMeasure,    // Finished with an absurd busy time
  kLoadFails,       // of an instance
  kBucketLoadFails,
  kSlowLoad,
  kLostLoaded,
  kDuplicateLoaded,
  kLostUnloaded,
  kDuplicateUnloaded,
  kClientCancels,
  kStrayCancel,  // unknown, answered or repeated
  kBurst,
  kUnknownInstance,
  kOversizeRows,
  kOldArrival,  // stamped long before it reaches the loop
  kReconfigure,
  kUnload,
  kReload,     // no longer wanted, and wanted again at once
  kClockJump,  // the loop was not run for a while; the device was
  kSuspend,    // neither was run: time passed, nothing moved
  kLatePause,
  kLostPause,  // the device has paused and does not say so, until it has healed
  kDuplicatePause,
  kLateTick,
  kSpuriousTick,
  kLatePlan,
  kLostPlan,
  kDuplicatePlan,
  kRetired,  // a bucket that has just been loaded is said to be no longer used
  kCount,
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(Fault::kCount);

std::string_view fault_name(Fault fault);  // "late completion", ...

using FaultRates = std::array<double, kFaultKinds>;  // probability at each occasion
using FaultCounts = std::array<uint64_t, kFaultKinds>;

// Some seeds have none; in others each is on with one chance in three, at a strength between rare and common.
FaultRates draw_fault_rates(Random& random);

class Faults {
 public:
  Faults(const FaultRates& rates, Random random) : rates_(rates), random_(random) {}

  // Whether `fault` happens at this occasion; counted when it does. Never after heal().
  bool strikes(Fault fault);
  void count(Fault fault) { ++counts_[static_cast<size_t>(fault)]; }
  void heal() { rates_ = {}; }
  const FaultCounts& counts() const { return counts_; }
  // For sizes of what struck.
  Random& random() { return random_; }

 private:
  FaultRates rates_;
  FaultCounts counts_{};
  Random random_;
};

}  // namespace motet::sim
