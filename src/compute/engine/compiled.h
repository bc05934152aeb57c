// What a Program is made of inside: steps over buffers, in stages and lanes, and branches. Private to compute/engine.
// Built by lowering, then immutable; executions read it from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compute/device/slice_team.h"
#include "compute/engine/lanes.h"
#include "compute/engine/runnable.h"
#include "compute/ops/kernel.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::engine {

class CompiledProgram;

// As Program::layout() says it: "nChw16c", "nChw8c", "nhwc", "any".
std::string_view layout_name(ops::Layout layout);

// Memory that steps read and write.
struct Buffer {
  enum class Kind : uint8_t {
    kArena,     // at `offset` of the arena
    kInput,     // the program's input `port`: the caller's memory, or staged at `offset` of the arena
    kOutput,    // the program's output `port`: memory that outlives the execution
    kConstant,  // `constant`
  };
  Kind kind = Kind::kArena;
  size_t bytes = 0;
  size_t offset = 0;
  size_t port = 0;
  Tensor constant;                  // empty where no step looks at its bytes
  ops::WeightCache::Packed packed;  // the constant's bytes, where the model's file does not hold them as they are read

  // Of a kConstant.
  std::byte* address() const { return packed ? const_cast<std::byte*>(packed->data()) : constant.view().data; }
};

inline constexpr int kNoBuffer = -1;

// One operand of a step; absent if its buffer is kNoBuffer. `view` has dtype and shape and no data.
struct StepOperand {
  int buffer = kNoBuffer;
  TensorView view;
};

// A choice between two programs, made when the step is reached.
struct Branch {
  StepOperand condition;
  std::shared_ptr<CompiledProgram> taken[2];  // [1] if the condition holds
  std::vector<StepOperand> inputs[2];         // what each program's inputs are here
};

// How a step's kernel is cut (compile/survey.h). Empty where it is run whole.
struct Slices {
  device::UnitTable units;
  std::vector<Nanos> before;  // predicted time of the units before each, and of all: total + 1 entries
  std::vector<int> ends;      // unit after the last of each slice, ascending; the last is units.total

  bool whole() const { return ends.size() < 2; }
};

struct Step {
  ops::KernelPtr kernel;  // null for a branch
  std::unique_ptr<Branch> branch;
  std::vector<StepOperand> inputs, outputs;
  int scratch = kNoBuffer;  // a kernel's scratch, or the arena of a branch
  std::string key;          // what names it across compilations: its first output, and its layout for a copy
  int parts = 1;            // what the kernel was planned for
  Slices slices;

  int64_t count() const { return slices.whole() ? 1 : static_cast<int64_t>(slices.ends.size()); }
};

class CompiledProgram final : public Runnable {
 public:
  const std::vector<Port>& inputs() const override { return input_ports; }
  const std::vector<Port>& outputs() const override { return output_ports; }
  const std::vector<StepInfo>& steps() const override { return infos; }
  const std::vector<graph::PassReport>& passes() const override { return pass_reports; }
  Bytes arena_bytes() const override { return Bytes(static_cast<int64_t>(arena)); }
  Bytes activation_bytes() const override { return Bytes(static_cast<int64_t>(arena_without_reuse)); }
  Bytes packed_bytes() const override { return Bytes(static_cast<int64_t>(packed)); }
  Nanos predicted() const override;
  Nanos longest_step() const override;
  Precision precision() const override { return chosen_precision; }
  std::string executor() const override { return "native"; }
  std::string layout() const override;

  size_t arena_size() const override { return arena; }
  std::vector<Staging> staging() const override;
  int64_t longest_path() const override;
  std::unique_ptr<Run> start(std::byte* memory, std::vector<std::byte*> input_addresses,
                             std::vector<std::byte*> output_addresses) const override;

  std::vector<Port> input_ports, output_ports;
  std::vector<Buffer> buffers;
  std::vector<Step> body;
  std::vector<StepInfo> infos;  // one per step of `body`
  std::vector<Stage> stages;    // every step of `body` once
  std::vector<graph::PassReport> pass_reports;
  size_t arena = 0;
  size_t arena_without_reuse = 0;
  size_t packed = 0;  // bytes packed for this program alone
  ops::Layout preferred = ops::Layout::kRowMajor;
  Precision chosen_precision = Precision::kExact;
  Nanos quantum = kNever;
  std::shared_ptr<const graph::Graph> graph;  // keeps what kernels point into
};

}  // namespace motet::engine
