// Device: a simulated device with cores, driven by the loop's actions on a trial's timeline. Execution times come from
// the scenario's table of drawn step times per (instance, bucket, batch, width); an execution is interrupted between
// steps only. It tells the truth to the checker (who holds which cores, what really finished) and, through the faults,
// less than the truth to the loop: reports come late, twice, in another order, or only after heal().
//
// One thread at a time. REQUIRES of every action: that it is legal (the checker looks first, and ends the trial if
// not).
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "body/sim/occurrence.h"
#include "body/sim/scenario.h"

namespace motet::sim {

class Device {
 public:
  // All are borrowed and outlive the device.
  Device(const Scenario& scenario, Faults& faults, TrialTimeline& timeline);

  // Actions of other kinds are not the device's and do nothing.
  void carry_out(const brain::Action& action, Nanos now);
  // REQUIRES: occurrence.of_device().
  void occur(const Occurrence& occurrence, Nanos now);
  // Time passed and the device stood still (its occurrences have been postponed by the caller).
  void stood_still(Nanos by);
  // The end of all faults: what is stuck moves again, and every report that was lost is sent.
  void heal(Nanos now);

  // The truth.
  bool finished_well(ExecutionId execution) const;
  // Cores that this execution occupies, beside those it is leaving or taking; empty when paused, ended or unknown.
  CoreSet held(ExecutionId execution) const;
  size_t live() const;  // executions that hold cores or are paused
  // Whether a report on its way is still of this life of its instance and bucket; the body drops it otherwise.
  bool current(const Occurrence& report) const;

 private:
  enum class State : uint8_t { kRunning, kPaused, kEnded };
  enum class Ask : uint8_t { kNothing, kPause, kResize, kKill };
  struct Run {
    brain::Start start;
    State state = State::kRunning;
    Ask ask = Ask::kNothing;
    CoreSet cores, asked_cores;
    int64_t steps_done = 0, steps_total = 1;
    int64_t steps_until_failure = -1;  // -1: does not fail
    double slowness = 1.0;             // over the table: jitter, and what the faults do
    Nanos step;                        // at the present width
    Nanos segment_start;               // when steps_done was last true
    int64_t segment_steps = 0;         // until the next occurrence
    Nanos busy;
    uint64_t token = 0;
    bool stuck = false;
    bool well = false;
    std::unique_ptr<brain::Event> lost_report;
    Nanos found_at = kNever;  // when lost_report is sent after all, or a stuck one moves; kNever: by heal()
  };
  struct Loading {
    bool fails = false;
    uint64_t generation = 0;
  };

  void start(const brain::Start& action, Nanos now);
  void ask(ExecutionId execution, Ask what, const CoreSet& cores, Nanos now);
  void resume(const brain::Resume& action, Nanos now);
  void load(const brain::Load& action, Nanos now);
  void unload(const brain::Unload& action, Nanos now);
  void end_load(InstanceId instance, brain::BucketId bucket, Nanos now);
  void end_unload(InstanceId instance, Nanos now);
  void end_segment(Run& run, Nanos now);
  void tell_pause(Run& run, Nanos now);
  void end(Run& run, brain::Event result, bool well, Nanos now);
  void schedule(Run& run, Nanos now);
  Nanos whole_time(const Run& run, int width) const;
  void send(brain::Event event, Nanos after, Nanos now);
  void send_load(brain::Event event, InstanceId instance, brain::BucketId bucket, Nanos after, Nanos now);
  uint64_t generation(InstanceId instance, brain::BucketId bucket) const;
  Nanos lose(Nanos now);
  void find(Nanos until, Nanos now);
  void complete(Run& run, brain::Event event, Nanos now);

  const Scenario& scenario_;
  Faults& faults_;
  TrialTimeline& timeline_;
  Random times_;
  std::map<ExecutionId, Run> runs_;
  std::map<std::pair<InstanceId, brain::BucketId>, Loading> loading_;
  std::map<std::pair<InstanceId, brain::BucketId>, uint64_t> generations_;
  struct LostLoad {
    InstanceId instance;
    brain::BucketId bucket = 0;
    brain::Event report;
    Nanos found_at = kNever;
  };
  std::vector<LostLoad> lost_;
};

}  // namespace motet::sim
