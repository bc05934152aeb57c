#include "compute/engine/compile.h"

#include <algorithm>

#include "base/clock.h"
#include "compute/engine/calibrate.h"
#include "compute/engine/lowering.h"
#include "compute/engine/probe.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"

namespace motet::engine {
namespace {

using graph::Graph;
using ops::Layout;

// Time for one candidate layout, and for the calibration of the program chosen. Short programs get several rounds in
// it.
constexpr Nanos kMeasureBudget = Nanos::from_millis(150);

Shape declared_shape(const graph::Value& value) {
  Shape shape;
  if (!value.shape) return shape;
  for (const graph::Dim& dim : *value.shape) shape.push_back(dim.extent);
  return shape;
}

// Layouts worth trying for convolutions: blocked for this CPU, channels last, and whatever oneDNN likes best for each.
std::vector<Layout> candidates() {
  std::vector<Layout> list = {ops::onednn::blocked_layout()};
  if (list.front() != Layout::kNChw8c) list.push_back(Layout::kNChw8c);
  list.push_back(Layout::kNhwc);
  list.push_back(Layout::kRowMajor);
  return list;
}

void set_predictions(CompiledProgram& program, const Measurement& measured) {
  for (size_t i = 0; i < program.infos.size(); ++i)
    program.infos[i].predicted = program.infos[i].longest_slice = measured.steps[i];
}

// Lowers, and once more if some kernels turn out to use barriers: those are then made for one part.
Result<std::shared_ptr<CompiledProgram>> lower_soundly(const std::shared_ptr<const Graph>& graph,
                                                       LoweringOptions lowering) {
  MOTET_ASSIGN(auto program, lower(graph, lowering));
  if (lowering.max_width == 1) return program;
  lowering.one_part = find_barriers(*program, lowering.max_width);
  if (lowering.one_part.empty()) return program;
  return lower(graph, lowering);
}

// Lowers for each candidate layout, times each, and returns the fastest.
Result<std::shared_ptr<CompiledProgram>> lower_fastest(const std::shared_ptr<const Graph>& graph,
                                                       LoweringOptions lowering, std::optional<Layout>& layout) {
  std::shared_ptr<CompiledProgram> best;
  Nanos best_time = kNever;
  for (Layout candidate : candidates()) {
    lowering.preferred = candidate;
    MOTET_ASSIGN(auto program, lower_soundly(graph, lowering));
    auto measured = measure(*program, kMeasureBudget);
    if (!measured && best) continue;
    if (measured) set_predictions(*program, *measured);
    if (!best || measured->total < best_time) {
      best = std::move(program);
      if (measured) best_time = measured->total;
    }
  }
  if (best_time != kNever) layout = best->preferred;
  return best;
}

}  // namespace

graph::Evaluator reference_evaluator() {
  return [](const graph::Node& node, std::span<const Tensor* const> inputs) { return ops::evaluate(node, inputs); };
}

Result<Shaped> with_shapes(const Graph& graph, const std::vector<Shape>& shapes) {
  if (shapes.size() != graph.inputs.size())
    return invalid_argument(std::to_string(shapes.size()) + " input shapes given; the model has " +
                            std::to_string(graph.inputs.size()) + " inputs");
  Shaped shaped{std::make_shared<Graph>(graph), {}};
  for (size_t i = 0; i < shapes.size(); ++i) {
    graph::Value& value = shaped.graph->value(graph.inputs[i]);
    std::string what = "input '" + value.name + "' of shape " + shape_to_string(shapes[i]);
    auto sound = checked_elements(shapes[i]);
    if (!sound.ok()) return invalid_argument(what + ": " + sound.error().message);
    if (!value.shape) value.shape.emplace(shapes[i].size());
    std::string takes = "; the model takes " + shape_to_string(declared_shape(value));
    // A scalar may come as one element of any rank: clients cannot all send tensors of rank 0, and ONNX Runtime takes
    // them.
    if (value.shape->empty() && elements(shapes[i]) == 1) value.shape.emplace(shapes[i].size());
    if (value.shape->size() != shapes[i].size()) return invalid_argument(what + takes);
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      graph::Dim& dim = (*value.shape)[d];
      if (dim.known() && dim.extent != shapes[i][d]) return invalid_argument(what + takes);
      if (!dim.symbol.empty()) {
        auto [bound, fresh] = shaped.symbols.emplace(dim.symbol, shapes[i][d]);
        if (!fresh && bound->second != shapes[i][d])
          return invalid_argument(what + takes + ", where '" + dim.symbol + "' is " + std::to_string(bound->second) +
                                  " by another input");
      }
    }
    for (size_t d = 0; d < shapes[i].size(); ++d) (*value.shape)[d] = {.extent = shapes[i][d]};
  }
  return shaped;
}

Result<std::shared_ptr<CompiledProgram>> compile_graph(const Graph& prepared, const std::vector<Shape>& shapes,
                                                       const CompileOptions& options, ops::WeightCache& weights,
                                                       std::optional<Layout>& layout) {
  MOTET_ASSIGN(Shaped shaped, with_shapes(prepared, shapes));
  graph::PassContext context{.evaluate = reference_evaluator(), .symbols = std::move(shaped.symbols)};
  SteadyClock clock;
  MOTET_ASSIGN(auto reports, graph::run_passes(*shaped.graph, context, options.disabled_passes, clock));
  LoweringOptions lowering{.max_width = std::max(1, options.max_width),
                           .preferred = options.layout.value_or(layout.value_or(ops::onednn::blocked_layout())),
                           .weights = &weights,
                           .disabled_passes = options.disabled_passes,
                           .evaluate = context.evaluate};
  std::shared_ptr<CompiledProgram> program;
  if (!layout && !options.layout && options.calibrate && has_layout_choice(*shaped.graph)) {
    MOTET_ASSIGN(program, lower_fastest(shaped.graph, lowering, layout));
    weights.trim();
  } else {
    MOTET_ASSIGN(program, lower_soundly(shaped.graph, lowering));
    if (options.calibrate)
      if (auto measured = measure(*program, kMeasureBudget)) set_predictions(*program, *measured);
  }
  program->pass_reports = std::move(reports);
  return program;
}

}  // namespace motet::engine
