// DynamicProgram: a graph whose shapes depend on data, run node by node. Each node is planned when its inputs are there
// (node_plans.h), its outputs are allocated then, up to a limit given at compile time (growth.h), and it is one step.
// Bodies of If, Loop and Scan are frames: their nodes are steps too, and a loop may turn as often as its data say, up
// to kMostTurns. Private to compute/engine. Immutable but for the plans it keeps; any thread.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "compute/engine/dynamic/node_plans.h"
#include "compute/engine/runnable.h"

namespace motet::engine {

// True if the program of a shaped and rewritten graph needs data: a shape or the plan of a node follows from values
// that only a run brings.
bool depends_on_data(const graph::Graph& graph);

// One level of the program: the graph itself, or a body.
struct DynamicBody {
  struct Step {
    enum class Kind : uint8_t {
      kKernel,   // planned and run
      kAlias,    // its input's bytes under another shape
      kData,     // makes its own results (ops/data_dependent.h)
      kIf,       // bodies: else, then
      kLoop,     // bodies: the body
      kScan,     // bodies: the body
      kSkipped,  // all its results are constants
    };
    Kind kind = Kind::kKernel;
    std::unique_ptr<NodePlans> plans;  // kKernel and kAlias
    std::array<std::unique_ptr<DynamicBody>, 2> bodies;
    std::vector<graph::ValueId> dead;  // values that nothing reads afterwards
    int64_t longest = 1;               // steps that it counts for, its bodies' included
  };

  std::shared_ptr<const graph::Graph> graph;
  std::vector<Step> steps;                                          // one per node
  std::vector<std::pair<graph::ValueId, graph::ValueId>> captures;  // (value of the graph around it, value here)
  int64_t longest = 0;
};

class DynamicProgram final : public Runnable {
 public:
  // More turns of one loop than this are an Error of the run.
  static constexpr int64_t kMostTurns = 1'000'000;
  // Turns that a loop is expected to take where its trip count is not a constant.
  static constexpr int64_t kExpectedTurns = 8;

  // `graph` is as depends_on_data was given it. `weights` outlives the program. An Error names the op that nothing
  // implements.
  static Result<std::shared_ptr<DynamicProgram>> create(std::shared_ptr<const graph::Graph> graph,
                                                        const CompileOptions& options, ops::WeightCache* weights);

  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  const std::vector<StepInfo>& steps() const override { return infos_; }
  const std::vector<graph::PassReport>& passes() const override { return passes_; }
  // Inputs that may have to be gathered, and all that a run may take as it goes.
  Bytes arena_bytes() const override { return Bytes(static_cast<int64_t>(staged_)) + limit_; }
  Bytes activation_bytes() const override { return arena_bytes(); }
  Bytes packed_bytes() const override { return Bytes(0); }
  Nanos predicted() const override { return predicted_; }
  Nanos longest_step() const override { return longest_step_; }
  Precision precision() const override { return Precision::kExact; }
  std::string executor() const override { return "native"; }
  std::string layout() const override { return "any"; }

  size_t arena_size() const override { return staged_; }
  std::vector<Staging> staging() const override { return staging_; }
  int64_t longest_path() const override { return body_->longest; }
  std::unique_ptr<Run> start(std::byte* arena, std::vector<std::byte*> inputs,
                             std::vector<std::byte*> outputs) const override;

  const DynamicBody& body() const { return *body_; }
  Bytes limit() const { return limit_; }
  void set_passes(std::vector<graph::PassReport> reports) { passes_ = std::move(reports); }
  // Runs once on drawn inputs and takes the time as the prediction. Inputs that decide shapes may make that fail: what
  // the program is expected to take then stays a guess by its number of steps.
  void calibrate();

 private:
  explicit DynamicProgram(Bytes limit) : limit_(limit) {}
  void describe();

  const Bytes limit_;
  std::unique_ptr<DynamicBody> body_;
  std::vector<Port> inputs_, outputs_;
  std::vector<StepInfo> infos_;  // one per node of the outermost graph
  std::vector<graph::PassReport> passes_;
  std::vector<Staging> staging_;
  size_t staged_ = 0;
  Nanos predicted_, longest_step_;
};

}  // namespace motet::engine
