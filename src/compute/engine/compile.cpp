#include "compute/engine/compile.h"

#include <algorithm>

#include "base/clock.h"
#include "compute/engine/dynamic.h"
#include "compute/engine/lowering.h"
#include "compute/engine/survey.h"
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

// The parts that a second lowering should plan steps with: one where parts meet at a barrier; more where a unit is
// longer than the quantum.
std::map<std::string, int> corrected_parts(const CompiledProgram& program, const Survey& survey, bool timed) {
  constexpr int kMostParts = 1024;
  std::map<std::string, int> parts;
  for (size_t i = 0; i < program.body.size(); ++i) {
    const Step& step = program.body[i];
    const StepSurvey& surveyed = survey.steps[i];
    for (size_t side = 0; side < surveyed.sides.size(); ++side)
      if (!surveyed.sides[side].steps.empty())
        parts.merge(corrected_parts(*step.branch->taken[side], surveyed.sides[side], timed));
    if (step.branch) continue;
    if (surveyed.barrier && step.parts > 1) parts[step.key] = 1;
    if (!timed || surveyed.barrier || !surveyed.sliceable || surveyed.units.total < step.parts) continue;
    Nanos longest;
    for (Nanos time : surveyed.times) longest = std::max(longest, time);
    if (longest <= program.quantum) continue;
    int times_more = static_cast<int>(longest.value * 2 / std::max<int64_t>(1, program.quantum.value)) + 1;
    if (step.parts * times_more <= kMostParts) parts[step.key] = step.parts * times_more;
  }
  return parts;
}

struct Cut {
  std::shared_ptr<CompiledProgram> program;
  Nanos total = kNever;  // as surveyed
};

// Lowers, surveys and cuts into slices; lowers once more where the survey asks for other parts.
Result<Cut> lower_cut(const std::shared_ptr<const Graph>& graph, LoweringOptions lowering, Nanos budget) {
  const bool timed = budget > Nanos(0);
  Cut cut;
  MOTET_ASSIGN(cut.program, lower(graph, lowering));
  auto surveyed = survey(*cut.program, budget);
  if (!surveyed) return cut;
  auto corrected = corrected_parts(*cut.program, *surveyed, timed);
  if (!corrected.empty()) {
    for (const auto& [key, parts] : corrected) lowering.parts[key] = parts;
    MOTET_ASSIGN(cut.program, lower(graph, lowering));
    auto barriers = *std::move(surveyed);
    surveyed = survey(*cut.program, budget);
    if (!surveyed) return cut;
    for (size_t i = 0; i < surveyed->steps.size() && i < barriers.steps.size(); ++i)
      surveyed->steps[i].barrier = surveyed->steps[i].barrier || barriers.steps[i].barrier;
  }
  cut_steps(*cut.program, *surveyed);
  cut.total = surveyed->total;
  return cut;
}

// Lowers for each candidate layout, times each, and returns the fastest.
Result<std::shared_ptr<CompiledProgram>> lower_fastest(const std::shared_ptr<const Graph>& graph,
                                                       LoweringOptions lowering, std::optional<Layout>& layout) {
  Cut best;
  for (Layout candidate : candidates()) {
    lowering.preferred = candidate;
    MOTET_ASSIGN(Cut cut, lower_cut(graph, lowering, kMeasureBudget));
    if (!best.program || cut.total < best.total) best = std::move(cut);
  }
  if (best.total != kNever) layout = best.program->preferred;
  return best.program;
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

Result<ProgramPtr> compile_graph(const Graph& prepared, const std::vector<Shape>& shapes, const CompileOptions& options,
                                 ops::WeightCache& weights, std::optional<Layout>& layout) {
  MOTET_ASSIGN(Shaped shaped, with_shapes(prepared, shapes));
  graph::PassContext context{.evaluate = reference_evaluator(), .symbols = std::move(shaped.symbols)};
  SteadyClock clock;
  MOTET_ASSIGN(auto reports, graph::run_passes(*shaped.graph, context, options.disabled_passes, clock));
  LoweringOptions lowering{.max_width = std::max(1, options.max_width),
                           .preferred = options.layout.value_or(layout.value_or(ops::onednn::blocked_layout())),
                           .weights = &weights,
                           .quantum = options.quantum,
                           .disabled_passes = options.disabled_passes,
                           .evaluate = context.evaluate};
  if (depends_on_data(*shaped.graph)) {
    MOTET_ASSIGN(auto dynamic, DynamicProgram::create(shaped.graph, options, &weights));
    dynamic->set_passes(std::move(reports));
    if (options.calibrate) dynamic->calibrate();
    return ProgramPtr(std::move(dynamic));
  }
  std::shared_ptr<CompiledProgram> program;
  if (!layout && !options.layout && options.calibrate && has_layout_choice(*shaped.graph)) {
    MOTET_ASSIGN(program, lower_fastest(shaped.graph, lowering, layout));
    weights.trim();
  } else {
    MOTET_ASSIGN(Cut cut, lower_cut(shaped.graph, lowering, options.calibrate ? kMeasureBudget : Nanos(0)));
    program = std::move(cut.program);
  }
  program->pass_reports = std::move(reports);
  return ProgramPtr(std::move(program));
}

}  // namespace motet::engine
