// What a thread knows about the parallel region it is in: which part of how many it runs, and the team bound to it.
// Team implementations set it around every part; the OpenMP entry points (gomp_shim.cpp) answer from it. Each thread
// has its own.
#pragma once

#include <atomic>
#include <cstdint>

#include "compute/device/team.h"

namespace motet::device {

struct Worker;

// Where the parts of one region meet; every part on a thread of its own.
class RegionBarrier {
 public:
  explicit RegionBarrier(int parts) : parts_(static_cast<uint32_t>(parts)) {}
  // Returns when all parts have arrived. May be used again at once.
  void arrive_and_wait();

 private:
  const uint32_t parts_;
  std::atomic<uint32_t> arrived_{0};
  std::atomic<uint32_t> phase_{0};
};

struct ThreadState {
  Team* team = nullptr;      // bound by TeamScope
  Worker* worker = nullptr;  // set in pool workers
  int compile_width = 0;     // 0: never set on this thread
  int part = 0;
  int parts = 1;
  bool in_region = false;            // inside parts of a region of more than one; nested regions run alone
  RegionBarrier* barrier = nullptr;  // null where the parts of the region may share a thread
  int64_t barriers = 0;              // met by this thread in regions of more than one part
  bool pass_barriers = false;        // without waiting, see BarrierCount
};

ThreadState& this_thread();

// Marks the calling thread as running `part` of `parts` for the scope's life.
class PartScope {
 public:
  PartScope(int part, int parts, RegionBarrier* barrier = nullptr);
  ~PartScope();
  PartScope(const PartScope&) = delete;
  PartScope& operator=(const PartScope&) = delete;

 private:
  int part_;
  int parts_;
  bool in_region_;
  RegionBarrier* barrier_;
};

// While it lives, barriers that the calling thread meets are counted and passed without waiting: for finding kernels
// that have any. Not for ones that are known to: what their threads share may be gone with the first of them.
class BarrierCount {
 public:
  BarrierCount();
  ~BarrierCount();
  BarrierCount(const BarrierCount&) = delete;
  BarrierCount& operator=(const BarrierCount&) = delete;
  bool met() const { return this_thread().barriers != before_; }

 private:
  const bool passed_;
  const int64_t before_;
};

// The calling thread, inside a part, begins anew: what it runs until the scope ends may fork on a team of its own.
class LaneScope {
 public:
  LaneScope();
  ~LaneScope();
  LaneScope(const LaneScope&) = delete;
  LaneScope& operator=(const LaneScope&) = delete;

 private:
  const ThreadState before_;
};

// Every part in order on the calling thread.
void run_serially(int parts, PartFunction f);

}  // namespace motet::device
