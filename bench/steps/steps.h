// What `make bench-steps` measures of one model, each a function that returns plain figures. One thread calls them; two
// of them use a pool of their own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "compute/engine/program.h"

namespace motet::steps {

// One kind of sliced op: the model's steps of one op, implementation and cost are timed once.
struct Loss {
  std::string op;
  std::string whole, sliced;  // what runs it
  int slices = 0;
  double whole_us = 0;   // the shortest run of the op planned whole
  double sliced_us = 0;  // the shortest run, slice after slice
  double predicted = 0;  // loss, as the compiler has it
};
// Runs every sliced op of `sliced` and its counterpart in `whole` in turn, `runs` times each, on the calling thread.
// REQUIRES: both are native programs of one model and one set of shapes.
Result<std::vector<Loss>> losses(const engine::ProgramPtr& sliced, const engine::ProgramPtr& whole, int runs);

struct Yield {
  double us = 0;          // from asking to having the cores
  bool steal = false;     // the hypervisor took time from this machine meanwhile
  double delayed_us = 0;  // the most that one of the workers waited for its core while something else had it
  int64_t faults = 0;     // pages that were mapped meanwhile
  int64_t at = 0;         // steps that were done when the cores were free: the last of them held them
};
// Runs the program over and over on `width` cores, asks `asks` times at random moments that it yield, and times each.
Result<std::vector<Yield>> yields(const engine::ProgramPtr& program, int width, int asks);

// An op of which a step takes longer than the quantum.
struct LongStep {
  std::string op;
  int calls = 0;            // steps that it took
  double us = 0;            // the longest, each the median of the runs
  double total_us = 0;      // of all
  double predicted_us = 0;  // of all, on one core
};
// Runs the program `runs` times on `width` cores, step by step; the longest first. REQUIRES: one lane and no branches.
Result<std::vector<LongStep>> long_steps(const engine::ProgramPtr& program, int width, int runs);

struct Schedules {
  uint64_t hash = 0;  // of the outputs of a run without interruption on one core
  int different = 0;  // runs whose outputs had another
  int64_t pauses = 0, resizes = 0, killed = 0;
};
// Runs the program `runs` times, each under a drawn schedule of pauses, leaders and widths up to `width`; a tenth are
// killed on the way and begun again.
Result<Schedules> schedules(const engine::ProgramPtr& program, int width, int runs);

}  // namespace motet::steps
