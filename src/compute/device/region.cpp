#include "compute/device/region.h"

#include <limits>

#include "compute/device/futex.h"

namespace motet::device {

namespace {

constexpr int kBarrierPauses = 4000;

class SerialTeam final : public Team {
 public:
  int width() const override { return 1; }
  void run(int parts, PartFunction f) override { run_serially(parts, f); }
};

}  // namespace

void RegionBarrier::arrive_and_wait() {
  uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parts_) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.fetch_add(1, std::memory_order_release);
    futex_wake(phase_, std::numeric_limits<int>::max());
    return;
  }
  for (int pauses = 0; phase_.load(std::memory_order_acquire) == phase; ++pauses) {
    if (pauses < kBarrierPauses) {
      pause_cpu();
    } else {
      futex_wait(phase_, phase);
    }
  }
}

ThreadState& this_thread() {
  thread_local ThreadState state;
  return state;
}

PartScope::PartScope(int part, int parts, RegionBarrier* barrier)
    : part_(this_thread().part),
      parts_(this_thread().parts),
      in_region_(this_thread().in_region),
      barrier_(this_thread().barrier) {
  ThreadState& state = this_thread();
  state.part = part;
  state.parts = parts;
  state.in_region = state.in_region || parts > 1;
  state.barrier = barrier;
}

PartScope::~PartScope() {
  ThreadState& state = this_thread();
  state.part = part_;
  state.parts = parts_;
  state.in_region = in_region_;
  state.barrier = barrier_;
}

BarrierCount::BarrierCount() : passed_(this_thread().pass_barriers), before_(this_thread().barriers) {
  this_thread().pass_barriers = true;
}
BarrierCount::~BarrierCount() { this_thread().pass_barriers = passed_; }

LaneScope::LaneScope() : before_(this_thread()) {
  ThreadState& state = this_thread();
  state.team = nullptr;
  state.part = 0;
  state.parts = 1;
  state.in_region = false;
  state.barrier = nullptr;
}
LaneScope::~LaneScope() { this_thread() = before_; }

void run_serially(int parts, PartFunction f) {
  if (parts == 1) {  // not a region: what it calls may still fork
    f(0, 1);
    return;
  }
  for (int part = 0; part < parts; ++part) {
    PartScope scope(part, parts);
    f(part, parts);
  }
}

Team& Team::serial() {
  static SerialTeam team;
  return team;
}

TeamScope::TeamScope(Team& team) : previous_(this_thread().team) { this_thread().team = &team; }
TeamScope::~TeamScope() { this_thread().team = previous_; }

void set_compile_width(int width) {
  MOTET_CHECK(width >= 1, "a program is compiled for one core or more");
  this_thread().compile_width = width;
}

}  // namespace motet::device
