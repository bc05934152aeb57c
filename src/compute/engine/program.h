// Program: a graph compiled for one set of input shapes, one precision and one greatest width: steps over one planned
// arena. Immutable once compiled and shared by all executions of it; may be used from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "compute/graph/onnx_reader.h"
#include "compute/graph/pass.h"
#include "compute/ops/registry.h"

namespace motet::engine {

// One input or output as a model declares it.
struct Port {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  // -1 where any extent is allowed
};

// How far a program may depart from fp32: bf16 rounds inputs and weights of convolutions and products, int8 the weights
// of products and, where there are many rows, their inputs; the rest is exact. The error is measured on data, never
// assumed.
enum class Precision : uint8_t { kExact, kBf16, kInt8 };
// "exact", "bf16", "int8".
std::string_view precision_name(Precision precision);
std::optional<Precision> precision_of(std::string_view name);

struct StepInfo {
  std::string node;            // ONNX node name, or the reorder's
  std::string op;              // "Conv+Clip", "reorder"
  std::string implementation;  // what runs it
  std::vector<ops::Refusal> refusals;
  double flops = 0;
  size_t weight_bytes = 0;  // of constants in a form of its own
  size_t bytes_moved = 0;   // inputs, outputs, weights
  Nanos predicted;          // at width 1, all slices; 0 until measured (see CompileOptions::calibrate)
  int slices = 1;           // cuts of a long op: each is a step of its own
  Nanos longest_slice;      // at width 1; what a yield may have to wait for
  double loss = 0;          // predicted: time of all slices over that of the op in one call, however planned, less 1
  int stage = 0, lane = 0;  // lanes of one stage may run at once
  bool barrier = false;     // meets GOMP_barrier: runs only with as many cores as it was made for
};

struct CompileOptions {
  int max_width = 1;  // greatest number of cores a step will run on
  std::set<std::string> disabled_passes;
  Precision precision = Precision::kExact;
  Nanos quantum = Nanos::from_millis(1);  // no step is longer at width 1, by prediction, where its op can be cut
  bool lanes = false;  // branches of the graph become lanes that may run at once on parts of a partition
  // What one run may take for values whose size depends on data; more is refused when it comes to that.
  Bytes growth{int64_t{512} << 20};
  // Time each step well, the first time choose the layout by measuring, and map the memory of a first execution; else
  // one quick run.
  bool calibrate = true;
  // Layout of convolutions; where absent, what was measured to be fastest for this model, or what suits the CPU.
  std::optional<ops::Layout> layout;
};

// How a model is loaded.
struct LoadOptions {
  // "native"; the name of a foreign executor ("openvino"); or "auto": native, and foreign for what native refuses.
  std::string executor = "auto";
  // Where packed weights and what was measured are kept between processes (cache/model_cache.h); "" for nowhere.
  std::filesystem::path cache_dir;
};

class Program;
using ProgramPtr = std::shared_ptr<const Program>;

class Program {
 public:
  virtual ~Program() = default;

  virtual const std::vector<Port>& inputs() const = 0;   // with the shapes it was compiled for
  virtual const std::vector<Port>& outputs() const = 0;  // an extent that depends on data is -1
  virtual const std::vector<StepInfo>& steps() const = 0;
  virtual const std::vector<graph::PassReport>& passes() const = 0;
  virtual Bytes arena_bytes() const = 0;       // activations and scratch, after reuse
  virtual Bytes activation_bytes() const = 0;  // the same without reuse: what planning saved
  virtual Bytes packed_bytes() const = 0;      // weights packed for this program and not shared
  // Sum of the steps' predicted times at width 1.
  virtual Nanos predicted() const = 0;
  // The whole at `width`, of programs of one step that were timed there (foreign ones); 0 of others.
  virtual Nanos timed_at(int /*width*/) const { return Nanos(0); }
  // The longest that it runs without looking at its flag, at width 1, by prediction; admission counts with it.
  virtual Nanos longest_step() const = 0;
  virtual Precision precision() const = 0;
  // What runs it: "native", or a foreign executor's name and version ("openvino 2026.4.1").
  virtual std::string executor() const = 0;
  // The layout that its convolutions prefer: "nChw16c", "nChw8c", "nhwc" or "any"; for `motet inspect`.
  virtual std::string layout() const = 0;
};

// A loaded model: the graph as read, and programs per input shapes, compiled on demand and kept. Weights are shared by
// all programs, and one model by all who load files of the same content. Any thread; compile() of one model runs one at
// a time, and beside it one that measures, without holding up executions.
class Model {
 public:
  // Reads an ONNX file, or what an installed foreign executor reads (foreign_step.h). With executor "auto" a model or
  // shape that the native engine refuses as unsupported goes to a foreign executor; if that refuses too, the Error
  // tells both reasons.
  static Result<std::shared_ptr<Model>> load(const std::filesystem::path& path, const LoadOptions& options = {});
  virtual ~Model() = default;

  virtual const std::vector<Port>& inputs() const = 0;  // as declared, -1 for symbolic or unknown extents
  virtual const std::vector<Port>& outputs() const = 0;
  // True if every input and output has an outermost extent with one common symbol (or unknown), so that rows of
  // different queries can be one batch; decided from the graph, not from a run.
  virtual bool batchable() const = 0;
  // Of all constants, packed or as they are read, without what a compile() under way only compares.
  virtual Bytes weight_bytes() const = 0;
  // The program for these input shapes (one per input, in order), compiled now or earlier. An Error names the input and
  // the extents allowed, or the op that nothing implements.
  virtual Result<ProgramPtr> compile(const std::vector<Shape>& input_shapes, const CompileOptions& options) = 0;
  // Writes to the cache what this model has packed and measured and the cache does not have. For a background thread:
  // takes as long as reading the model and writing its packed weights. False if nothing can be kept.
  virtual bool persist() { return false; }
  // Forgets a program; executions that use it keep it alive.
  virtual void drop(const std::vector<Shape>& input_shapes) = 0;
  // The graph as read; empty for a model that only a foreign executor reads.
  virtual const graph::Model& source() const = 0;
};

}  // namespace motet::engine
