#include "compute/engine/dynamic/dynamic.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/clock.h"
#include "compute/engine/compile/memory_plan.h"
#include "compute/engine/dynamic/dynamic_run.h"
#include "compute/engine/made_up.h"
#include "compute/graph/pass.h"
#include "compute/ops/data_dependent.h"
#include "compute/ops/registry.h"
#include "compute/ops/single_node.h"

namespace motet::engine {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::ValueId;
using Step = DynamicBody::Step;

// Of a step that was never timed.
constexpr Nanos kGuessedStep = Nanos::from_micros(50);

bool all_constant(const Graph& graph, const Node& node) {
  return std::all_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId id) { return id == kNoValue || graph.value(id).constant.has_value(); });
}

bool is_standard(const Node& node, std::string_view op) { return node.domain.empty() && node.op == op; }

Step::Kind kind_of(const Graph& graph, const Node& node) {
  static const std::set<std::string, std::less<>> kAliases = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"};
  if (all_constant(graph, node)) return Step::Kind::kSkipped;
  if (is_standard(node, "If")) return Step::Kind::kIf;
  if (is_standard(node, "Loop")) return Step::Kind::kLoop;
  if (is_standard(node, "Scan")) return Step::Kind::kScan;
  if (ops::shaped_by_data(node)) return Step::Kind::kData;
  if (node.domain.empty() && node.post_ops.empty() && kAliases.contains(node.op)) return Step::Kind::kAlias;
  return Step::Kind::kKernel;
}

int64_t expected_turns(const Graph& graph, const Node& node) {
  if (node.inputs.empty() || node.inputs[0] == kNoValue) return DynamicProgram::kExpectedTurns;
  const auto& trips = graph.value(node.inputs[0]).constant;
  if (!is_standard(node, "Loop") || !trips || trips->dtype() != DType::kI64 || trips->view().elements() != 1)
    return DynamicProgram::kExpectedTurns;
  return std::clamp<int64_t>(trips->view().as<int64_t>()[0], 1, DynamicProgram::kMostTurns);
}

Result<std::unique_ptr<DynamicBody>> make_body(std::shared_ptr<const Graph> graph, const Graph* around, int parts,
                                               ops::WeightCache* weights);

Status make_bodies(const Graph& graph, const Node& node, int parts, ops::WeightCache* weights, Step& step) {
  const bool branch = step.kind == Step::Kind::kIf;
  const std::array<std::string_view, 2> names = {branch ? "else_branch" : "body", "then_branch"};
  int64_t longest = 0;
  for (size_t i = 0; i < (branch ? 2U : 1U); ++i) {
    auto body = node.graph_or_null(names[i]);
    if (body == nullptr)
      return invalid_argument("node '" + node.name + "' (" + node.op + ") has no " + std::string(names[i]));
    MOTET_ASSIGN(step.bodies[i], make_body(std::move(body), &graph, parts, weights));
    longest = std::max(longest, step.bodies[i]->longest);
  }
  if (!branch) {
    const int64_t turns = expected_turns(graph, node);
    longest = checked_multiply(longest + 1, turns).value_or(DynamicProgram::kMostTurns);
  }
  step.longest += std::min(longest, DynamicProgram::kMostTurns);
  return {};
}

Status bind_captures(const Graph& around, DynamicBody& body) {
  std::unordered_map<std::string_view, ValueId> by_name;
  for (size_t i = 0; i < around.values.size(); ++i) by_name.emplace(around.values[i].name, static_cast<ValueId>(i));
  for (const auto& [name, inner] : body.graph->captures) {
    auto found = by_name.find(name);
    if (found == by_name.end())
      return invalid_argument("a body reads '" + name + "', which the graph around it does not have");
    body.captures.emplace_back(found->second, inner);
  }
  return {};
}

// After which step each value is read no more.
void find_dead(DynamicBody& body) {
  const Graph& graph = *body.graph;
  std::vector<int> last(graph.values.size(), -1);
  for (size_t i = 0; i < body.steps.size(); ++i) {
    auto use = [&](ValueId id) {
      if (id != kNoValue) last[static_cast<size_t>(id)] = static_cast<int>(i);
    };
    for (ValueId id : graph.nodes[i].inputs) use(id);
    for (ValueId id : graph.nodes[i].outputs) use(id);
    for (const auto& inner : body.steps[i].bodies)
      if (inner)
        for (const auto& capture : inner->captures) use(capture.first);
  }
  for (ValueId id : graph.outputs) last[static_cast<size_t>(id)] = -1;
  for (size_t v = 0; v < last.size(); ++v)
    if (last[v] >= 0) body.steps[static_cast<size_t>(last[v])].dead.push_back(static_cast<ValueId>(v));
}

Result<std::unique_ptr<DynamicBody>> make_body(std::shared_ptr<const Graph> graph, const Graph* around, int parts,
                                               ops::WeightCache* weights) {
  auto body = std::make_unique<DynamicBody>();
  body->graph = std::move(graph);
  if (around != nullptr) MOTET_RETURN_IF_ERROR(bind_captures(*around, *body));
  for (const Node& node : body->graph->nodes) {
    Step step;
    step.kind = kind_of(*body->graph, node);
    const bool control =
        step.kind == Step::Kind::kIf || step.kind == Step::Kind::kLoop || step.kind == Step::Kind::kScan;
    if (control) {
      MOTET_RETURN_IF_ERROR(make_bodies(*body->graph, node, parts, weights, step));
    } else if (step.kind == Step::Kind::kKernel || step.kind == Step::Kind::kAlias) {
      if (ops::implementations(node.domain, node.op).empty())
        return unsupported("node '" + node.name + "': nothing here runs " +
                           (node.domain.empty() ? "" : node.domain + ":") + node.op + " (opset " +
                           std::to_string(node.opset) + "): no implementation of that op is known");
      step.plans = std::make_unique<NodePlans>(node, parts, weights);
    }
    body->longest += step.longest;
    body->steps.push_back(std::move(step));
  }
  find_dead(*body);
  return body;
}

}  // namespace

bool depends_on_data(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    if (all_constant(graph, node)) continue;
    if (is_standard(node, "Loop") || is_standard(node, "Scan") || ops::shaped_by_data(node)) return true;
    if (is_standard(node, "If")) {
      for (std::string_view key : {"then_branch", "else_branch"}) {
        auto body = node.graph_or_null(key);
        if (body != nullptr && depends_on_data(*body)) return true;
      }
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue || !ops::reads_when_planned(node, i)) continue;
      if (!graph.value(node.inputs[i]).constant) return true;
    }
    for (ValueId id : node.outputs)
      if (id != kNoValue && !graph.value(id).static_shape()) return true;
  }
  return false;
}

Result<std::shared_ptr<DynamicProgram>> DynamicProgram::create(std::shared_ptr<const Graph> graph,
                                                               const CompileOptions& options,
                                                               ops::WeightCache* weights) {
  std::shared_ptr<DynamicProgram> program(new DynamicProgram(options.growth));
  MOTET_ASSIGN(program->body_, make_body(std::move(graph), nullptr, std::max(1, options.max_width), weights));
  const Graph& top = *program->body_->graph;
  for (size_t i = 0; i < top.inputs.size(); ++i) {
    const graph::Value& value = top.value(top.inputs[i]);
    auto shape = value.static_shape();
    if (!shape || !value.dtype) return internal_error("input '" + value.name + "' has no shape");
    MOTET_ASSIGN(int64_t count, checked_elements(*shape));
    program->inputs_.push_back({value.name, *value.dtype, *shape});
    program->staging_.push_back({i, program->staged_});
    size_t bytes = static_cast<size_t>(count) * dtype_bytes(*value.dtype);
    program->staged_ += (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  }
  // What the model declares of its outputs holds only as far as it follows from the inputs.
  Graph inferred = top;
  for (ValueId id : top.outputs) inferred.value(id).shape.reset();
  MOTET_RETURN_IF_ERROR(graph::infer_shapes(inferred, {}));
  for (ValueId id : top.outputs) {
    const graph::Value& value = inferred.value(id);
    if (!value.dtype) return unsupported("the type of output '" + value.name + "' is not known");
    Port port{value.name, *value.dtype, {}};
    // Where even the rank is open, one open extent stands for it.
    if (!value.shape) port.shape = {-1};
    if (value.shape)
      for (const graph::Dim& dim : *value.shape) port.shape.push_back(dim.extent);
    // Strings point into memory that ends with the run, so they are handed over like what is not known.
    if (port.dtype == DType::kString && !port.shape.empty()) port.shape[0] = -1;
    program->outputs_.push_back(std::move(port));
  }
  program->describe();
  return program;
}

void DynamicProgram::describe() {
  const Graph& top = *body_->graph;
  for (size_t i = 0; i < top.nodes.size(); ++i) {
    const Node& node = top.nodes[i];
    StepInfo info{.node = node.name, .op = node.op, .implementation = "planned when reached"};
    if (info.node.empty() && !node.outputs.empty() && node.outputs[0] != kNoValue)
      info.node = top.value(node.outputs[0]).name;
    switch (body_->steps[i].kind) {
      case Step::Kind::kAlias: info.implementation = "alias"; break;
      case Step::Kind::kData: info.implementation = "reference"; break;
      case Step::Kind::kIf: info.implementation = "branch"; break;
      case Step::Kind::kLoop:
      case Step::Kind::kScan: info.implementation = "loop"; break;
      case Step::Kind::kSkipped: info.implementation = "constant"; break;
      case Step::Kind::kKernel: break;
    }
    info.predicted = kGuessedStep * body_->steps[i].longest;
    info.longest_slice = kGuessedStep;
    predicted_ += info.predicted;
    infos_.push_back(std::move(info));
  }
  longest_step_ = kGuessedStep;
}

void DynamicProgram::calibrate() {
  if (staged_ > static_cast<size_t>(limit_.value)) return;
  std::vector<Tensor> inputs = make_up(inputs_);
  std::vector<std::byte*> in;
  for (const Tensor& tensor : inputs) in.push_back(tensor.view().data);
  std::vector<Tensor> outputs;
  std::vector<std::byte*> out;
  for (const Port& port : outputs_) {
    bool known = std::all_of(port.shape.begin(), port.shape.end(), [](int64_t extent) { return extent >= 0; });
    if (known) outputs.push_back(Tensor::zeros(port.dtype, port.shape));
    out.push_back(known ? outputs.back().view().data : nullptr);
  }
  // The first run plans, the second is timed.
  SteadyClock clock;
  for (int round = 0; round < 2; ++round) {
    DynamicRun run(*this, in, out);
    Nanos longest, begin = clock.now(), last = begin;
    while (!run.done()) {
      if (!run.step(device::Team::serial(), device::kGoOn).ok()) return;
      Nanos now = clock.now();
      longest = std::max(longest, now - last);
      last = now;
      constexpr Nanos kPatience = Nanos::from_millis(500);  // drawn data may make a loop turn for very long
      if (last - begin > kPatience) return;
    }
    if (round == 0) continue;
    predicted_ = last - begin;
    longest_step_ = longest;
  }
}

std::unique_ptr<Run> DynamicProgram::start(std::byte*, std::vector<std::byte*> inputs,
                                           std::vector<std::byte*> outputs) const {
  return std::make_unique<DynamicRun>(*this, std::move(inputs), std::move(outputs));
}

}  // namespace motet::engine
