#include "compute/engine/compile/lowering.h"

#include <algorithm>

#include "base/clock.h"
#include "compute/engine/compile/draft.h"
#include "compute/engine/compile/place.h"
#include "compute/engine/compile/storage.h"
#include "compute/engine/compile/work.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"

namespace motet::engine {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::ValueId;
using ops::Layout;
using ops::TensorSpec;

// What a node is planned with.
struct Operands {
  std::vector<TensorSpec> inputs, outputs;
  std::vector<const Tensor*> constants;
  std::unique_ptr<bool[]> present;
};

// Masks stay as they are: the least number of f32, which they hold, is minus infinity in bf16.
bool is_mask(const Node& node, size_t input) { return node.op == "Attention" && node.domain == "motet" && input == 3; }

std::string step_name(const Node& node) {
  using Kind = graph::PostOp::Kind;
  std::string name = node.op;
  for (const graph::PostOp& op : node.post_ops) {
    switch (op.kind) {
      case Kind::kRelu: name += "+Relu"; break;
      case Kind::kClip: name += "+Clip"; break;
      case Kind::kSigmoid: name += "+Sigmoid"; break;
      case Kind::kTanh: name += "+Tanh"; break;
      case Kind::kHardSigmoid: name += "+HardSigmoid"; break;
      case Kind::kHardSwish: name += "+HardSwish"; break;
      case Kind::kSwish: name += "+Swish"; break;
      case Kind::kLeakyRelu: name += "+LeakyRelu"; break;
      case Kind::kElu: name += "+Elu"; break;
      case Kind::kGeluErf:
      case Kind::kGeluTanh: name += "+Gelu"; break;
      case Kind::kAdd: name += "+Add"; break;
    }
  }
  return name;
}

class Lowering {
 public:
  Lowering(std::shared_ptr<const Graph> graph, const LoweringOptions& options)
      : graph_(std::move(graph)),
        options_(options),
        program_(std::make_shared<CompiledProgram>()),
        draft_(*graph_, options, *program_) {}

  Result<std::shared_ptr<CompiledProgram>> run();

 private:
  Status take_inputs();
  Status lower_node(int index, const Node& node);
  Status lower_alias(const Node& node);
  Status lower_branch(const Node& node);
  Result<std::shared_ptr<CompiledProgram>> lower_body(const Node& node, std::string_view attribute,
                                                      std::vector<StepOperand>& inputs);
  Status lower_kernel(int index, const Node& node);
  Result<Operands> operands_of(const Node& node, bool lowered) const;
  Result<ops::Planned> plan(int index, const Node& node, Operands& operands, Step& step);
  Status place_output(int index, const Node& node, const ops::Kernel& kernel, const TensorSpec& planned, size_t output,
                      Step& step);
  Status bind_outputs();

  std::string key_of(const Node& node) const;
  // For people: many exporters leave nodes unnamed.
  std::string name_of(const Node& node) const { return node.name.empty() ? key_of(node) : node.name; }

  std::shared_ptr<const Graph> graph_;
  const LoweringOptions& options_;
  std::shared_ptr<CompiledProgram> program_;
  Draft draft_;
  Storage storage_;  // empty if nothing is lowered
};

Status Lowering::take_inputs() {
  for (size_t i = 0; i < graph_->inputs.size(); ++i) {
    ValueId id = graph_->inputs[i];
    MOTET_ASSIGN(TensorSpec spec, draft_.spec_of(id));
    int buffer = draft_.add_buffer({.kind = Buffer::Kind::kInput, .bytes = spec.bytes(), .port = i}, id);
    draft_.place(id, buffer, Layout::kRowMajor, spec.dtype);
    program_->input_ports.push_back({graph_->value(id).name, spec.dtype, spec.shape});
  }
  return {};
}

// True if a Transpose only moves extents of 1.
bool keeps_order(const Node& node, const Shape& shape) {
  std::vector<int64_t> order = node.ints_or("perm", {});
  if (order.size() != shape.size()) return shape.size() < 2;
  int64_t previous = -1;
  for (int64_t axis : order) {
    if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) return false;
    if (shape[static_cast<size_t>(axis)] == 1) continue;
    if (axis < previous) return false;
    previous = axis;
  }
  return true;
}

Status Lowering::lower_node(int index, const Node& node) {
  static const std::set<std::string, std::less<>> kAliases = {"Identity",  "Reshape", "Squeeze",
                                                              "Unsqueeze", "Flatten", "Dropout"};
  if (node.domain.empty() && node.post_ops.empty()) {
    if (node.op == "If") return lower_branch(node);
    bool one_output =
        std::count_if(node.outputs.begin(), node.outputs.end(), [](ValueId id) { return id != kNoValue; }) == 1;
    if (kAliases.contains(node.op) && one_output) return lower_alias(node);
    auto input =
        node.inputs.empty() || node.inputs[0] == kNoValue ? std::optional<Shape>() : draft_.shape(node.inputs[0]);
    if (node.op == "Transpose" && input && keeps_order(node, *input)) return lower_alias(node);
    if (node.op == "Cast" && input && one_output && draft_.dtype(node.inputs[0]) == draft_.dtype(node.outputs[0]))
      return lower_alias(node);
  }
  return lower_kernel(index, node);
}

Status Lowering::lower_alias(const Node& node) {
  const ValueId from = node.inputs[0], to = node.outputs[0];
  bool same_shape = node.op == "Identity" || node.op == "Dropout" || node.op == "Cast";
  if (same_shape && !draft_.shape(to)) draft_.shape(to) = draft_.shape(from);
  if (!draft_.dtype(to)) draft_.dtype(to) = draft_.dtype(from);
  MOTET_ASSIGN(TensorSpec source, draft_.spec_of(from));
  MOTET_ASSIGN(TensorSpec result, draft_.spec_of(to));
  if (elements(source.shape) != elements(result.shape))
    return invalid_argument("node '" + node.name + "' (" + node.op + "): " + shape_to_string(source.shape) +
                            " does not have the elements of " + shape_to_string(result.shape));
  // Only what keeps the shape may keep a layout other than row-major.
  Layout layout = same_shape ? source.layout : Layout::kRowMajor;
  MOTET_ASSIGN(int buffer, draft_.deliver(from, layout, source.dtype));
  draft_.place(to, buffer, layout, source.dtype);
  draft_.share(buffer, to);
  return {};
}

Result<std::shared_ptr<CompiledProgram>> Lowering::lower_body(const Node& node, std::string_view attribute,
                                                              std::vector<StepOperand>& inputs) {
  auto original = node.graph_or_null(attribute);
  if (original == nullptr) return invalid_argument("node '" + node.name + "' (If) has no " + std::string(attribute));
  auto body = std::make_shared<Graph>(*original);
  for (const auto& [name, inner] : body->captures) {
    const ValueId outer = draft_.find(name);
    if (outer == kNoValue)
      return invalid_argument("node '" + node.name + "' (If) reads '" + name +
                              "', which the graph around it does not have");
    graph::Value& value = body->value(inner);
    if (graph_->value(outer).constant) {
      value.constant = graph_->value(outer).constant;
      continue;
    }
    MOTET_ASSIGN(TensorSpec spec, draft_.spec_of(outer));
    value.dtype = draft_.dtype(outer);
    value.shape.emplace();
    for (int64_t extent : spec.shape) value.shape->push_back({.extent = extent});
    MOTET_ASSIGN(int buffer, draft_.deliver(outer, Layout::kRowMajor));
    body->inputs.push_back(inner);
    inputs.push_back(draft_.operand(outer, buffer));
  }
  body->captures.clear();
  SteadyClock clock;
  MOTET_ASSIGN(auto reports, graph::run_passes(*body, {.evaluate = options_.evaluate, .int8 = ops::onednn::has_int8()},
                                               options_.disabled_passes, clock));
  MOTET_ASSIGN(auto program, lower(body, options_));
  program->pass_reports = std::move(reports);
  return program;
}

Status Lowering::lower_branch(const Node& node) {
  auto branch = std::make_unique<Branch>();
  MOTET_ASSIGN(int condition, draft_.deliver(node.inputs[0], Layout::kRowMajor));
  branch->condition = draft_.operand(node.inputs[0], condition);
  MOTET_ASSIGN(auto otherwise, lower_body(node, "else_branch", branch->inputs[0]));
  MOTET_ASSIGN(auto then, lower_body(node, "then_branch", branch->inputs[1]));
  Step step;
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    ValueId id = node.outputs[o];
    const Port& a = then->output_ports[o];
    const Port& b = otherwise->output_ports[o];
    if (a.dtype != b.dtype || a.shape != b.shape)
      return unsupported("node '" + node.name + "' (If): its branches give " + shape_to_string(a.shape) + " and " +
                         shape_to_string(b.shape) + "; they must give one shape and type");
    if (id == kNoValue) {
      step.outputs.emplace_back();
      continue;
    }
    draft_.shape(id) = a.shape;
    draft_.dtype(id) = a.dtype;
    MOTET_ASSIGN(TensorSpec spec, draft_.spec_of(id));
    int buffer = draft_.add_buffer({.kind = Buffer::Kind::kArena, .bytes = spec.bytes()}, id);
    draft_.place(id, buffer, Layout::kRowMajor, spec.dtype);
    step.outputs.push_back(draft_.operand(id, buffer));
  }
  step.inputs = {branch->condition};
  for (const auto& side : branch->inputs) step.inputs.insert(step.inputs.end(), side.begin(), side.end());
  size_t arena = std::max(then->arena, otherwise->arena);
  if (arena > 0) step.scratch = draft_.add_buffer({.kind = Buffer::Kind::kArena, .bytes = arena}, kNoValue);
  program_->packed += then->packed + otherwise->packed;
  StepInfo info{.node = name_of(node), .op = "If", .implementation = "branch"};
  for (const auto& side : {then, otherwise}) {
    double flops = 0;
    for (const StepInfo& inner : side->infos) flops += inner.flops;
    info.flops = std::max(info.flops, flops);
  }
  branch->taken[0] = std::move(otherwise);
  branch->taken[1] = std::move(then);
  step.branch = std::move(branch);
  draft_.add_step(std::move(step), std::move(info), Nanos(0));
  return {};
}

std::string Lowering::key_of(const Node& node) const {
  for (ValueId id : node.outputs)
    if (id != kNoValue) return graph_->value(id).name;
  return node.name;
}

Status Lowering::place_output(int index, const Node& node, const ops::Kernel& kernel, const TensorSpec& planned,
                              size_t output, Step& step) {
  ValueId id = node.outputs[output];
  if (id == kNoValue) {
    step.outputs.emplace_back();
    return {};
  }
  TensorSpec spec = planned;
  spec.layout = kernel.output_layout(output);
  size_t bytes = spec.bytes();
  int input = kernel.output_in_place_of(output);
  int buffer = kNoBuffer;
  if (input >= 0 && static_cast<size_t>(input) < step.inputs.size()) {
    StepOperand& shared = step.inputs[static_cast<size_t>(input)];
    auto users = std::count_if(step.inputs.begin(), step.inputs.end(),
                               [&](const StepOperand& o) { return o.buffer == shared.buffer; });
    bool fits = shared.buffer != kNoBuffer && program_->buffers[static_cast<size_t>(shared.buffer)].bytes == bytes;
    if (fits && users == 1 && draft_.may_destroy(shared.buffer, index)) {
      buffer = shared.buffer;
      draft_.hand_over(buffer, id);
    } else if (kernel.must_be_in_place()) {
      if (!fits) return internal_error("node '" + node.name + "': the addend is not of the result's size");
      buffer = draft_.add_buffer({.kind = Buffer::Kind::kArena, .bytes = bytes}, id);
      StepOperand copy{buffer, shared.view};
      draft_.add_copy(shared, copy, spec.layout, graph_->value(id).name);
      shared = copy;
    }
  }
  if (buffer == kNoBuffer) buffer = draft_.add_buffer({.kind = Buffer::Kind::kArena, .bytes = bytes}, id);
  draft_.place(id, buffer, spec.layout, spec.dtype);
  step.outputs.push_back(draft_.operand(id, buffer, spec.dtype));
  return {};
}

// The operands as they lie, in the graph's types; if `lowered`, f32 ones that are not constant as bf16.
Result<Operands> Lowering::operands_of(const Node& node, bool lowered) const {
  Operands operands{.inputs = std::vector<TensorSpec>(node.inputs.size()),
                    .outputs = std::vector<TensorSpec>(node.outputs.size()),
                    .constants = std::vector<const Tensor*>(node.inputs.size(), nullptr),
                    .present = std::make_unique<bool[]>(node.inputs.size())};
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    ValueId id = node.inputs[i];
    operands.present[i] = id != kNoValue;
    if (id == kNoValue) continue;
    MOTET_ASSIGN(operands.inputs[i], draft_.spec_of(id));
    DType& dtype = operands.inputs[i].dtype;
    dtype = *draft_.dtype(id);
    if (graph_->value(id).constant)
      operands.constants[i] = &*graph_->value(id).constant;
    else if (lowered && dtype == DType::kF32 && !is_mask(node, i))
      dtype = DType::kBF16;
  }
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    MOTET_ASSIGN(operands.outputs[o], draft_.spec_of(node.outputs[o]));
    if (lowered && storage_.values[static_cast<size_t>(node.outputs[o])]) operands.outputs[o].dtype = DType::kBF16;
  }
  return operands;
}

Result<ops::Planned> Lowering::plan(int index, const Node& node, Operands& operands, Step& step) {
  std::vector<ops::Refusal> refusals;
  for (bool lowered : {true, false}) {
    if (lowered && (storage_.nodes.empty() || !storage_.nodes[static_cast<size_t>(index)])) continue;
    MOTET_ASSIGN(operands, operands_of(node, lowered));
    step.parts = draft_.parts_of(step.key, pessimistic_time(node, operands.inputs, operands.outputs));
    const ops::NodeRequest request{.node = node,
                                   .inputs = operands.inputs,
                                   .present = {operands.present.get(), node.inputs.size()},
                                   .constants = operands.constants,
                                   .outputs = operands.outputs,
                                   .preferred = options_.preferred,
                                   .max_width = step.parts,
                                   .winograd = options_.all_winograd || options_.winograd.contains(step.key),
                                   .weights = options_.weights,
                                   .choices = options_.choices,
                                   .lowered = lowered,
                                   .cores = options_.max_width};
    auto planned = ops::plan_kernel(request);
    if (planned.ok()) {
      planned->refusals.insert(planned->refusals.begin(), refusals.begin(), refusals.end());
      return planned;
    }
    if (!lowered) return planned;
    refusals.push_back({"bf16", planned.error().message});
  }
  return internal_error("a node that was not planned");
}

Status Lowering::lower_kernel(int index, const Node& node) {
  Step step;
  step.key = key_of(node);
  Operands operands;
  auto planned = plan(index, node, operands, step);
  if (!planned.ok()) {
    Error error = planned.error();
    error.message = "node '" + name_of(node) + "': " + error.message;
    return error;
  }
  const ops::Kernel& kernel = *planned->kernel;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (!operands.present[i]) {
      step.inputs.emplace_back();
      continue;
    }
    DType dtype = operands.inputs[i].dtype;
    if (operands.constants[i] != nullptr && !kernel.reads(i)) {
      int unread = draft_.add_buffer({.kind = Buffer::Kind::kConstant, .bytes = operands.inputs[i].bytes()}, kNoValue);
      step.inputs.push_back(draft_.operand(node.inputs[i], unread, dtype));
      continue;
    }
    MOTET_ASSIGN(int buffer, draft_.deliver(node.inputs[i], kernel.input_layout(i), dtype));
    step.inputs.push_back(draft_.operand(node.inputs[i], buffer, dtype));
  }
  for (size_t o = 0; o < node.outputs.size(); ++o)
    MOTET_RETURN_IF_ERROR(place_output(index, node, kernel, operands.outputs[o], o, step));
  if (kernel.scratch_bytes() > 0)
    step.scratch = draft_.add_buffer({.kind = Buffer::Kind::kArena, .bytes = kernel.scratch_bytes()}, kNoValue);
  StepInfo info{.node = name_of(node),
                .op = step_name(node),
                .implementation = kernel.implementation(),
                .refusals = std::move(planned->refusals),
                .flops = kernel.flops(),
                .weight_bytes = kernel.packed_bytes()};
  if (options_.weights == nullptr) program_->packed += kernel.packed_bytes();
  step.kernel = std::move(planned->kernel);
  draft_.add_step(std::move(step), std::move(info), pessimistic_time(node, operands.inputs, operands.outputs));
  return {};
}

Status Lowering::bind_outputs() {
  for (size_t o = 0; o < graph_->outputs.size(); ++o) {
    ValueId id = graph_->outputs[o];
    MOTET_ASSIGN(TensorSpec spec, draft_.spec_of(id));
    spec.layout = Layout::kRowMajor;
    spec.dtype = *draft_.dtype(id);
    MOTET_ASSIGN(int buffer, draft_.deliver(id, Layout::kRowMajor));
    Buffer& made = program_->buffers[static_cast<size_t>(buffer)];
    if (made.kind == Buffer::Kind::kArena && made.bytes == spec.bytes()) {
      made.kind = Buffer::Kind::kOutput;
      made.port = o;
    } else {
      int copy = draft_.add_buffer({.kind = Buffer::Kind::kOutput, .bytes = spec.bytes(), .port = o}, kNoValue);
      draft_.add_copy(draft_.operand(id, buffer), draft_.operand(id, copy), Layout::kRowMajor, graph_->value(id).name);
    }
    program_->output_ports.push_back({graph_->value(id).name, spec.dtype, spec.shape});
  }
  return {};
}

Result<std::shared_ptr<CompiledProgram>> Lowering::run() {
  MOTET_RETURN_IF_ERROR(draft_.take_values());
  MOTET_RETURN_IF_ERROR(take_inputs());
  if (options_.precision == Precision::kBf16 && ops::onednn::has_bf16()) storage_ = bf16_storage(*graph_);
  for (size_t i = 0; i < graph_->nodes.size(); ++i)
    MOTET_RETURN_IF_ERROR(lower_node(static_cast<int>(i), graph_->nodes[i]));
  MOTET_RETURN_IF_ERROR(bind_outputs());
  find_stages(*program_, draft_.estimates(), options_.lanes);
  lay_out(*program_);
  program_->preferred = options_.preferred;
  program_->quantum = options_.quantum;
  program_->chosen_precision = options_.precision;
  program_->graph = graph_;
  return program_;
}

}  // namespace

Result<std::shared_ptr<CompiledProgram>> lower(std::shared_ptr<const Graph> graph, const LoweringOptions& options) {
  return Lowering(std::move(graph), options).run();
}

bool has_layout_choice(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    for (const auto& [key, attribute] : node.attributes) {
      const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
      if (body != nullptr && *body != nullptr && has_layout_choice(**body)) return true;
    }
    if (node.op != "Conv" && node.op != "ConvTranspose") continue;
    auto rank = graph.value(node.inputs[1]).shape ? graph.value(node.inputs[1]).shape->size() : 4;
    if (rank == 4) return true;
  }
  return false;
}

}  // namespace motet::engine
