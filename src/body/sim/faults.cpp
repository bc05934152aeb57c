#include "body/sim/faults.h"

#include "base/math.h"

namespace motet::sim {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kNames = {"late completion",
                                                              "lost completion",
                                                              "duplicate completion",
                                                              "reordered completion",
                                                              "stray completion",
                                                              "execution fails",
                                                              "slow execution",
                                                              "stuck execution",
                                                              "wrong measure",
                                                              "load fails",
                                                              "bucket load fails",
                                                              "slow load",
                                                              "lost loaded",
                                                              "duplicate loaded",
                                                              "lost unloaded",
                                                              "duplicate unloaded",
                                                              "client cancels",
                                                              "stray cancel",
                                                              "burst",
                                                              "unknown instance",
                                                              "oversize rows",
                                                              "old arrival",
                                                              "reconfigure",
                                                              "unload",
                                                              "reload",
                                                              "clock jump",
                                                              "suspend",
                                                              "late pause",
                                                              "lost pause",
                                                              "duplicate pause",
                                                              "late tick",
                                                              "spurious tick",
                                                              "late plan",
                                                              "lost plan",
                                                              "duplicate plan",
                                                              "retired"};

// Some occasions are more frequent than others: every event is one for a reconfiguration.
double occasion_scale(Fault fault) {
  switch (fault) {
    case Fault::kReconfigure:
    case Fault::kUnload:
    case Fault::kReload: return 0.05;
    case Fault::kClockJump:
    case Fault::kSuspend: return 0.02;
    case Fault::kStrayCompletion:
    case Fault::kSpuriousTick: return 0.3;
    case Fault::kBurst: return 0.1;
    case Fault::kStuckExecution: return 0.2;
    // Few executions are paused,
    case Fault::kLatePause:
    case Fault::kLostPause:
    case Fault::kDuplicatePause: return 5.0;
    // and few models are unloaded.
    case Fault::kLostUnloaded:
    case Fault::kDuplicateUnloaded: return 2.0;
    default: return 1.0;
  }
}

}  // namespace

std::string_view fault_name(Fault fault) { return kNames[static_cast<size_t>(fault)]; }

FaultRates draw_fault_rates(Random& random) {
  FaultRates rates{};
  bool healthy = random.chance(0.125);
  double share_on = random.chance(0.2) ? 0.8 : 0.33;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    // Drawn for every fault, so that the numbers of one do not depend on another's being on.
    bool on = random.chance(share_on);
    double strength = stable_exp(stable_log(0.003) + random.uniform() * (stable_log(0.4) - stable_log(0.003)));
    if (!healthy && on) rates[i] = strength * occasion_scale(static_cast<Fault>(i));
  }
  return rates;
}

bool Faults::strikes(Fault fault) {
  double rate = rates_[static_cast<size_t>(fault)];
  if (rate <= 0 || !random_.chance(rate)) return false;
  count(fault);
  return true;
}

}  // namespace motet::sim
