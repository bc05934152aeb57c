// Runner: walks the steps of one compiled program over one set of addresses, branches included. An execution has one
// per part; the calibration has its own. Private to compute/engine. One thread at a time.
#pragma once

#include <atomic>
#include <memory>
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
  Status step(device::Team& team) override;
  // Runs the next step whole, with `team` as the kernel's own. REQUIRES: !done(), the next step is no branch, no slice
  // of it has been run.
  Status step_whole(device::Team& team);
  // Goes past the next step without running it, its results cleared. REQUIRES: !done().
  void skip_step();
  // Where the operands of the next step lie. REQUIRES: !done().
  std::vector<TensorView> next_inputs() const;
  std::vector<TensorView> next_outputs() const;
  int64_t steps_done() const override { return done_; }
  Tensor take_output(size_t port) override;
  // The step that runs next, wherever it is. REQUIRES: !done().
  const Step& next_step() const { return frames_.back().program->body[frames_.back().next]; }

 private:
  struct Frame {
    const CompiledProgram* program;
    std::byte* arena;
    std::vector<std::byte*> addresses;  // per buffer
    size_t next = 0;
    int unit = 0;         // of the step that is next
    int64_t ends_at = 0;  // steps_done() when this frame has ended
  };

  void push(const CompiledProgram& program, std::byte* arena, const std::vector<std::byte*>& inputs,
            const std::vector<std::byte*>& outputs, int64_t ends_at);
  void enter(const Step& step);
  // `team` is the kernel's own.
  Status run_kernel(const Step& step, const StepInfo& info, device::Team& team);
  // Past the step that is next, whose slices have all been run.
  void advance();
  std::vector<TensorView> place(const std::vector<StepOperand>& operands) const;

  std::vector<Frame> frames_;  // the last is running
  int64_t done_ = 0;
  std::vector<TensorView> inputs_, outputs_;  // of the step that runs, kept for their memory
};

}  // namespace motet::engine
