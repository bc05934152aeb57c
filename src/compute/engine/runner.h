// Runner: walks the steps of one compiled program over one set of addresses, branches included. An execution has one
// per part; the survey has its own. Private to compute/engine. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "compute/device/team.h"
#include "compute/engine/compiled.h"

namespace motet::engine {

class Runner final : public Run {
 public:
  // `arena` holds program.arena bytes; inputs and outputs are where the program's ports lie.
  Runner(const CompiledProgram& program, std::byte* arena, std::vector<std::byte*> inputs,
         std::vector<std::byte*> outputs);

  bool done() const override { return frames_.empty(); }
  // A slice of the next op, and the ones after it as long as `stop` does not ask; where a stage has several lanes left
  // and the team several cores, as many slices of several lanes as fit the quantum, each lane on a core of its own.
  Status step(device::Team& team, const device::Stop& stop) override;
  int64_t steps_done() const override { return done_; }
  Tensor take_output(size_t port) override;

  // For the survey; lanes go one after another. REQUIRES: !done(), no slice of the next step has been run.
  size_t next_index() const;  // in the body of the frame that runs
  std::vector<TensorView> next_inputs() const;
  std::vector<TensorView> next_outputs() const;
  // Runs the next step whole, with `team` as the kernel's own. REQUIRES: it is no branch.
  Status step_whole(device::Team& team);
  // Goes past the next step without running it, its results cleared.
  void skip_step();

 private:
  // How far a lane is: the step in it, and the unit of that step.
  struct Cursor {
    size_t at = 0;
    int unit = 0;
  };
  struct Frame {
    const CompiledProgram* program;
    std::byte* arena;
    std::vector<std::byte*> addresses;  // per buffer
    size_t stage = 0;
    std::vector<Cursor> lanes;  // of the stage
    int64_t ends_at = 0;        // steps_done() when this frame has ended
  };
  // A core's work in one step of several lanes.
  struct LaneWork {
    std::vector<size_t> lanes;
    Nanos left;
    int64_t done = 0;
    Status status;
  };

  void push(const CompiledProgram& program, std::byte* arena, const std::vector<std::byte*>& inputs,
            const std::vector<std::byte*>& outputs, int64_t ends_at);
  void enter(const Step& step);
  static void open_stage(Frame& frame);
  // Leaves stages and frames that have ended.
  void settle();
  // The first lane that has steps left.
  size_t next_lane() const;
  // Runs one call of the step at `cursor`, as wide as `team`, and moves the cursor: one slice, or what follows it too
  // as long as `stop` does not ask; the slices that this ended, and the time predicted for it.
  struct Call {
    Status status;
    int64_t done = 0;
    Nanos predicted;
  };
  Call call(const Frame& frame, const Lane& lane, Cursor& cursor, device::Team& team, const device::Stop& stop) const;
  Status step_lanes(Frame& frame, std::span<const size_t> open, device::Team& team);
  void run_lanes(const Frame& frame, std::vector<Cursor>& cursors, LaneWork& work) const;

  std::vector<Frame> frames_;  // the last is running
  int64_t done_ = 0;
};

}  // namespace motet::engine
