// A program in the making: its steps and buffers so far, and where each value of its graph lies, in which layout and
// type. Where a step reads a value in another form than it was made in, a copy is put in. Private to compute/engine.
// One thread at a time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compute/engine/compile/lowering.h"
#include "compute/engine/compiled.h"
#include "compute/graph/graph.h"
#include "compute/ops/kernel.h"

namespace motet::engine {

class Draft {
 public:
  // All of them outlive it.
  Draft(const graph::Graph& graph, const LoweringOptions& options, CompiledProgram& program)
      : graph_(graph), options_(options), program_(program) {}

  // The values as the graph has them, none of which lies anywhere yet. An Error names one whose shape cannot be.
  Status take_values();

  // As far as they are known: from the graph, or set since, for results of branches.
  std::optional<Shape>& shape(graph::ValueId id) { return shapes_[static_cast<size_t>(id)]; }
  std::optional<DType>& dtype(graph::ValueId id) { return dtypes_[static_cast<size_t>(id)]; }
  const std::optional<Shape>& shape(graph::ValueId id) const { return shapes_[static_cast<size_t>(id)]; }
  const std::optional<DType>& dtype(graph::ValueId id) const { return dtypes_[static_cast<size_t>(id)]; }
  // kNoValue if there is none of that name.
  graph::ValueId find(const std::string& name) const;

  // As the value lies where it was made; as the graph has it if it was not made yet.
  Result<ops::TensorSpec> spec_of(graph::ValueId id) const;
  StepOperand operand(graph::ValueId id, int buffer, DType dtype) const;
  StepOperand operand(graph::ValueId id, int buffer) const {
    return operand(id, buffer, *dtypes_[static_cast<size_t>(id)]);
  }

  // `holder` lies in it, or nothing does yet (kNoValue).
  int add_buffer(Buffer buffer, graph::ValueId holder);
  // Where the value was made.
  void place(graph::ValueId id, int buffer, ops::Layout layout, DType dtype) {
    locations_[static_cast<size_t>(id)] = {{buffer, layout, dtype}};
  }
  // `id` lies in the buffer too, or from now on alone.
  void share(int buffer, graph::ValueId id) { holders_[static_cast<size_t>(buffer)].push_back(id); }
  void hand_over(int buffer, graph::ValueId id) { holders_[static_cast<size_t>(buffer)] = {id}; }
  // True if nothing reads what lies in the buffer after the node at `index`.
  bool may_destroy(int buffer, int index) const;

  // The buffer that has the value in `layout` and type, by a copy if there is none yet.
  Result<int> deliver(graph::ValueId id, ops::Layout layout, DType dtype);
  // The same in the type that the graph gives it.
  Result<int> deliver(graph::ValueId id, ops::Layout layout) {
    return deliver(id, layout, *dtypes_[static_cast<size_t>(id)]);
  }

  // How many parts the step of that key is planned in; `estimate` is an upper one, see work.h.
  int parts_of(const std::string& key, Nanos estimate) const;
  void add_step(Step step, StepInfo info, Nanos estimate);
  void add_copy(const StepOperand& from, const StepOperand& to, ops::Layout layout, const std::string& name);
  const std::vector<Nanos>& estimates() const { return estimates_; }  // per step

 private:
  // Where a value can be found, and in which form.
  struct Location {
    int buffer = kNoBuffer;
    ops::Layout layout = ops::Layout::kRowMajor;
    DType dtype = DType::kF32;
  };

  void find_last_uses();
  Result<int> deliver_constant(graph::ValueId id, const ops::TensorSpec& plain, ops::Layout layout);

  const graph::Graph& graph_;
  const LoweringOptions& options_;
  CompiledProgram& program_;
  std::vector<std::optional<Shape>> shapes_;  // per value, as the three after it
  std::vector<std::optional<DType>> dtypes_;
  std::vector<std::vector<Location>> locations_;      // the first is where it was made
  std::vector<int> last_use_;                         // index of the last node that reads it
  std::vector<std::vector<graph::ValueId>> holders_;  // per buffer: values that lie in it
  std::unordered_map<std::string_view, graph::ValueId> by_name_;
  std::vector<Nanos> estimates_;
};

}  // namespace motet::engine
