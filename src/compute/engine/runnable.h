// Runnable: a Program as executions see it. Three kinds: compiled steps over a planned arena (compiled.h), steps whose
// shapes depend on data, and a foreign executor's single step. An Execution stages inputs, starts a Run for each of its
// parts, and drives it. Private to compute/engine and compute/foreign.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/device/team.h"
#include "compute/engine/program.h"

namespace motet::engine {

// One run of a program over one set of addresses. One thread at a time; the thread and the team may change between
// steps.
class Run {
 public:
  virtual ~Run() = default;
  virtual bool done() const = 0;
  // Runs the next step, what is not interrupted, and goes on within its op as long as `stop` does not ask it to end. An
  // Error is a fault of the data, naming the node. REQUIRES: !done().
  virtual Status step(device::Team& team, const device::Stop& stop) = 0;
  // Steps done so far, of Runnable::longest_path(); those of a branch not taken count as done when it ends.
  virtual int64_t steps_done() const = 0;
  // Output `port`, where the program does not know its extents beforehand (an extent of -1 in outputs()); owns its
  // memory. REQUIRES: done(); called once a port.
  virtual Tensor take_output(size_t port) = 0;
  // Any thread: a step under way that takes long ends early, with an Error, if it can.
  virtual void cancel() {}
};

// Where an input is staged in the arena when it does not lie in one piece in the caller's memory.
struct Staging {
  size_t port = 0;
  size_t offset = 0;
};

class Runnable : public Program {
 public:
  // Bytes of arena that start() is given.
  virtual size_t arena_size() const = 0;
  // The inputs that are read, with a place in the arena for each.
  virtual std::vector<Staging> staging() const = 0;
  // Steps of the longest way through, branches included.
  virtual int64_t longest_path() const = 0;
  // `inputs` and `outputs` are addresses per port, null for inputs not in staging() and for outputs whose extents are
  // not known. The memory and the program outlive the run.
  virtual std::unique_ptr<Run> start(std::byte* arena, std::vector<std::byte*> inputs,
                                     std::vector<std::byte*> outputs) const = 0;
};

}  // namespace motet::engine
