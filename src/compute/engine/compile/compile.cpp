#include "compute/engine/compile/compile.h"

#include <algorithm>
#include <sstream>
#include <string_view>

#include "base/clock.h"
#include "compute/engine/compile/cut.h"
#include "compute/engine/compile/lowering.h"
#include "compute/engine/dynamic/dynamic.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"

namespace motet::engine {
namespace {

using graph::Graph;
using ops::Layout;

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

constexpr std::string_view kChoicesKey = "choices";

std::string convolutions_key(Precision precision) { return "convolutions " + std::string(precision_name(precision)); }

// The layout's name, then a line for every key that uses Winograd's method.
std::string text_of(const ConvolutionChoice& choice) {
  std::string text(layout_name(choice.layout));
  for (const std::string& key : choice.winograd) text += '\n' + key;
  return text;
}

// What an earlier process measured to be the fastest for this model.
std::optional<ConvolutionChoice> choice_before(const ModelCache& cache, Precision precision) {
  auto text = cache.tuned(convolutions_key(precision));
  if (!text) return std::nullopt;
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);
  for (Layout layout : candidates()) {
    if (layout_name(layout) != line) continue;
    ConvolutionChoice choice{.layout = layout, .winograd = {}};
    while (std::getline(lines, line)) choice.winograd.insert(line);
    return choice;
  }
  return std::nullopt;
}

// The steps that Winograd's method makes clearly shorter, by the surveys of a program without and one with it.
std::set<std::string> worth_winograd(const CompiledProgram& direct, const CompiledProgram& winograd) {
  constexpr double kClearly = 0.93;  // it takes more memory, and other programs of the model will use it unmeasured
  std::map<std::string, Nanos> times;
  for (size_t i = 0; i < direct.body.size(); ++i) times[direct.body[i].key] = direct.infos[i].predicted;
  std::set<std::string> keys;
  for (size_t i = 0; i < winograd.body.size(); ++i) {
    const StepInfo& info = winograd.infos[i];
    auto before = times.find(winograd.body[i].key);
    if (info.implementation.find("wino") == std::string::npos || before == times.end()) continue;
    if (static_cast<double>(info.predicted.value) < kClearly * static_cast<double>(before->second.value))
      keys.insert(winograd.body[i].key);
  }
  return keys;
}

// True if kernels of Winograd's method are worth trying. Not in f32 for nhwc: what it wins for one picture it loses for
// eight, and a model keeps to one layout.
bool has_winograd(Layout layout, Precision precision) {
  return (layout == Layout::kNChw16c && precision != Precision::kInt8) ||
         (layout == Layout::kNhwc && precision == Precision::kBf16);
}

// Lowers for each candidate, times each, and keeps the fastest and its choice.
Result<std::shared_ptr<CompiledProgram>> lower_fastest(const std::shared_ptr<const Graph>& graph,
                                                       LoweringOptions lowering, const std::vector<Layout>& layouts,
                                                       const Memo& memo, std::optional<ConvolutionChoice>& choice) {
  Cut best;
  auto compare = [&](Cut cut) {
    if (best.program && cut.total >= best.total) return;
    best = std::move(cut);
    if (best.total != kNever) choice = {best.program->preferred, lowering.winograd};
  };
  for (Layout candidate : layouts) {
    lowering.preferred = candidate;
    lowering.winograd.clear();
    MOTET_ASSIGN(Cut cut, lower_cut(graph, lowering, Care::kTimed, memo));
    std::shared_ptr<CompiledProgram> direct = cut.program;
    compare(std::move(cut));
    if (!has_winograd(candidate, lowering.precision)) continue;
    lowering.all_winograd = true;
    MOTET_ASSIGN(Cut everywhere, lower_cut(graph, lowering, Care::kTimed, memo));
    lowering.all_winograd = false;
    lowering.winograd = worth_winograd(*direct, *everywhere.program);
    if (lowering.winograd.empty()) continue;
    MOTET_ASSIGN(Cut mixed, lower_cut(graph, lowering, Care::kTimed, memo));
    compare(std::move(mixed));
  }
  if (!choice) return best.program;
  lowering.preferred = choice->layout;
  lowering.winograd = choice->winograd;
  MOTET_ASSIGN(Cut tightened, lower_cut(graph, lowering, Care::kTightened, memo));
  return tightened.program;
}

// Refuses a precision for which this CPU has no instructions.
Status expect_precision(Precision precision) {
  if (precision == Precision::kBf16 && !ops::onednn::has_bf16())
    return unsupported("precision bf16 needs AVX512_BF16 or AMX; this CPU has " + ops::onednn::isa_name() +
                       "; exact is possible");
  return {};
}

// Refuses int8 where it would change nothing.
Status expect_quantised(const Graph& graph) {
  const bool any = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                               [](const graph::Node& node) { return node.op == "QuantisedMatMul"; });
  if (any) return {};
  return unsupported(
      "precision int8: of a model of fp32 it is the products with constant weights that can be int8, and this one has "
      "none (or, on a CPU without AVX512_VNNI, none of few rows); exact and bf16 are accepted");
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

Result<Compiled> compile_graph(const Graph& prepared, const std::vector<Shape>& shapes, const CompileOptions& options,
                               ops::WeightCache& weights, ModelCache& cache, std::optional<ConvolutionChoice>& choice) {
  MOTET_RETURN_IF_ERROR(expect_precision(options.precision));
  if (!choice) choice = choice_before(cache, options.precision);
  MOTET_ASSIGN(Shaped shaped, with_shapes(prepared, shapes));
  graph::PassContext context{.evaluate = reference_evaluator(),
                             .symbols = std::move(shaped.symbols),
                             .int8 = ops::onednn::has_int8(),
                             .quantise = options.precision == Precision::kInt8};
  SteadyClock clock;
  MOTET_ASSIGN(auto reports, graph::run_passes(*shaped.graph, context, options.disabled_passes, clock));
  ops::Choices choices(cache.tuned(kChoicesKey).value_or(""), options.calibrate);
  const bool chosen = choice && (!options.layout || *options.layout == choice->layout);
  LoweringOptions lowering{
      .max_width = std::max(1, options.max_width),
      .preferred = options.layout.value_or(chosen ? choice->layout : ops::onednn::blocked_layout()),
      .winograd = chosen ? choice->winograd : std::set<std::string>(),
      .weights = &weights,
      .choices = &choices,
      .precision = options.precision,
      .lanes = options.lanes,
      .quantum = options.quantum,
      .disabled_passes = options.disabled_passes,
      .evaluate = context.evaluate};
  if (depends_on_data(*shaped.graph)) {
    MOTET_ASSIGN(auto dynamic, DynamicProgram::create(shaped.graph, options, &weights));
    dynamic->set_passes(std::move(reports));
    if (options.calibrate) dynamic->calibrate();
    return Compiled{std::move(dynamic), options.calibrate};
  }
  if (options.precision == Precision::kInt8) MOTET_RETURN_IF_ERROR(expect_quantised(*shaped.graph));
  const Memo memo{cache, shapes, options};
  std::shared_ptr<CompiledProgram> program;
  bool calibrated = options.calibrate;
  if (!chosen && options.calibrate && has_layout_choice(*shaped.graph)) {
    std::optional<ConvolutionChoice> fastest;
    auto layouts = options.layout ? std::vector<Layout>{*options.layout} : candidates();
    MOTET_ASSIGN(program, lower_fastest(shaped.graph, lowering, layouts, memo, fastest));
    if (!options.layout && fastest) {
      choice = std::move(fastest);
      cache.tune(convolutions_key(options.precision), text_of(*choice));
    }
  } else {
    MOTET_ASSIGN(Cut cut, lower_cut(shaped.graph, lowering, options.calibrate ? Care::kTightened : Care::kQuick, memo));
    program = std::move(cut.program);
    calibrated |= cut.care == Care::kTightened && (chosen || !has_layout_choice(*shaped.graph));
  }
  if (choices.fresh()) cache.tune(kChoicesKey, choices.text());
  program->pass_reports = std::move(reports);
  return Compiled{std::move(program), calibrated};
}

}  // namespace motet::engine
