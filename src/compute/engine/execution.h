// Execution: one run of one or more programs over one batch: a position and an activation arena. It can be paused
// between any two steps and resumed later, on other cores or another width, with the same bits out.
//
// A batch of n rows runs as parts: programs whose batch sizes sum to n, one after another in one execution. Input rows
// are gathered from the queries' own buffers; output rows go to buffers that outlive the execution.
//
// One thread at a time drives an execution (the leader worker); request_pause and request_kill may come from any
// thread.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/device/team.h"
#include "compute/engine/program.h"

namespace motet::engine {

// A query's tensors for every input of the model, in order. Row counts (outermost extents) add up over the batch. For a
// model without batch dimension there is one query and its tensors are used whole.
struct QueryInputs {
  std::vector<TensorView> tensors;
};

struct Part {
  ProgramPtr program;
  int64_t rows = 0;  // rows of the batch that this part takes; fewer than the program's batch means padding with zeros
};

enum class RunState : uint8_t { kFinished, kPaused, kKilled, kFailed };

class Execution {
 public:
  // Allocates the arena. `queries` views must stay alive until the execution is destroyed. `batched` says whether the
  // outermost extent is a batch. An Error names the size refused.
  static Result<std::unique_ptr<Execution>> create(std::vector<Part> parts, std::vector<QueryInputs> queries,
                                                   bool batched);
  virtual ~Execution() = default;

  // Runs steps on `team` until the end, or until asked to pause or die; the flag is read between units of a slice. May
  // be called again after kPaused, from another thread and with another team.
  virtual RunState run(device::Team& team) = 0;
  // One step, and what follows it within its op as long as `stop` does not ask to end; kPaused unless it was the last.
  virtual RunState step(device::Team& team, const device::Stop& stop = device::kAtOnce) = 0;

  virtual void request_pause() = 0;
  virtual void request_kill() = 0;
  virtual void clear_pause() = 0;

  virtual int64_t steps_done() const = 0;  // any thread
  virtual int64_t steps_total() const = 0;
  virtual const Error& failure()
      const = 0;  // REQUIRES: the last state was kFailed (a data-dependent fault, such as an index out of range)

  // After kFinished: output `o` of query `q`, rows of that query only. The Tensor keeps its memory alive by itself.
  virtual Tensor output(size_t query, size_t output) const = 0;
};

// Maps the memory that an execution of `program` takes and keeps it for the first one, whose steps would otherwise wait
// for every page. No more than is kept (arena.h, arena_cache.h). Takes as long as clearing that memory.
void map_memory(const Program& program);

}  // namespace motet::engine
