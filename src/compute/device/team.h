// Team: the cores that the op now running may use. It belongs to the leader's task (an execution): set before a step,
// never during one. oneDNN's OpenMP regions land here too, through the libgomp entry points that gomp_shim.cpp defines:
// a region asked for n threads runs its n parts on however many cores the team has.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/core_set.h"
#include "compute/device/pool.h"

namespace motet::device {

// A reference to a callable void(int part, int parts); valid during the call only.
class PartFunction {
 public:
  template <class F>
  PartFunction(F& f)  // NOLINT(google-explicit-constructor)
      : call_([](void* o, int part, int parts) { (*static_cast<F*>(o))(part, parts); }), object_(&f) {}
  void operator()(int part, int parts) const { call_(object_, part, parts); }

 private:
  void (*call_)(void*, int, int);
  void* object_;
};

// What a call that may go on looks at between units: any value but 0 asks it to end.
using Stop = std::atomic<unsigned>;
inline const Stop kAtOnce{1};  // ends as early as it may
inline const Stop kGoOn{0};    // never asks

class Team {
 public:
  // A team that runs all parts on the calling thread: for tools, folding and tests without a pool.
  static Team& serial();

  virtual ~Team() = default;
  // Cores in use, >= 1.
  virtual int width() const = 0;
  // Calls f(part, parts) for every part once, spread over the team's cores, and returns when all have ended. Parts must
  // not wait for one another. Nested calls run on the caller alone.
  virtual void run(int parts, PartFunction f) = 0;
  // A kernel made of several primitives says where each begins; false: skip it, this call has none of its work
  // (slice_team.h).
  virtual bool begin_stage() { return true; }
  // Whether run(parts) from here would give every part a thread of its own, so that parts may meet at a barrier.
  virtual bool concurrent(int parts) const { return parts == 1; }
  // The machine's CPUs that its cores are; empty where threads are not pinned.
  virtual std::vector<int> cpus() const { return {}; }

  // Splits [0, count) into contiguous ranges of at least `grain` and calls f(begin, end) on each.
  template <class F>
  void for_range(int64_t count, int64_t grain, F&& f) {
    if (count <= 0) return;
    int64_t most = grain > 0 ? (count + grain - 1) / grain : count;
    int parts = static_cast<int>(most < width() ? most : width());
    auto body = [&](int part, int n) { f(count * part / n, count * (part + 1) / n); };
    run(parts, PartFunction(body));
  }
};

// A team over workers of `pool`, led by the worker that calls it. Resizable between steps.
class PoolTeam : public Team {
 public:
  // REQUIRES: called on worker `leader` of `pool`; leader is in `cores`.
  static std::unique_ptr<PoolTeam> create(Pool& pool, int leader, const CoreSet& cores);
  // From the next run() on, use these cores. REQUIRES: the leader is among them; no run() in progress.
  virtual void resize(const CoreSet& cores) = 0;
  virtual const CoreSet& cores() const = 0;
};

// Binds `team` to the calling thread for oneDNN's parallel regions, for the guard's life.
class TeamScope {
 public:
  explicit TeamScope(Team& team);
  ~TeamScope();
  TeamScope(const TeamScope&) = delete;
  TeamScope& operator=(const TeamScope&) = delete;

 private:
  Team* previous_;
};

// Number of parts oneDNN bakes into primitives made on this thread (what omp_get_max_threads answers here): the
// greatest width of the program being compiled. A thread that runs primitives must have the width they were made with,
// or a smaller one: scratchpads are sized by it. Unset: the pool's size on its workers, 1 elsewhere. REQUIRES: width
// >= 1.
void set_compile_width(int width);

}  // namespace motet::device
