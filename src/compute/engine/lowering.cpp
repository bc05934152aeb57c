#include "compute/engine/lowering.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "base/check.h"
#include "base/clock.h"
#include "compute/engine/copy_kernel.h"
#include "compute/engine/pieces.h"
#include "compute/engine/place.h"
#include "compute/engine/storage.h"
#include "compute/engine/work.h"
#include "compute/graph/file_map.h"
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

constexpr int kForever = std::numeric_limits<int>::max();

// Where a value can be found, and in which form.
struct Location {
  int buffer = kNoBuffer;
  Layout layout = Layout::kRowMajor;
  DType dtype = DType::kF32;
};

// What a node is planned with.
struct Operands {
  std::vector<TensorSpec> inputs, outputs;
  std::vector<const Tensor*> constants;
  std::unique_ptr<bool[]> present;
};

int64_t block_of(Layout layout) { return layout == Layout::kNChw8c ? 8 : layout == Layout::kNChw16c ? 16 : 1; }

// True if the two layouts of `shape` are the same bytes: pictures of one pixel, or of one channel unblocked.
bool same_bytes(const Shape& shape, Layout a, Layout b) {
  if (a == b) return true;
  if (shape.size() != 4) return false;
  bool one_pixel = shape[2] == 1 && shape[3] == 1;
  bool whole = shape[1] % block_of(a) == 0 && shape[1] % block_of(b) == 0;
  if (one_pixel && whole) return true;
  bool unblocked = block_of(a) == 1 && block_of(b) == 1;
  return unblocked && shape[1] == 1;
}

std::string order_name(Layout layout) {
  return layout == Layout::kRowMajor ? "row-major" : std::string(layout_name(layout));
}

std::string copy_name(const TensorSpec& from, const TensorSpec& to) {
  std::string name = "reorder";
  if (from.layout != to.layout) name += " " + order_name(from.layout) + "->" + order_name(to.layout);
  if (from.dtype != to.dtype)
    name += " " + std::string(dtype_kserve_name(from.dtype)) + "->" + std::string(dtype_kserve_name(to.dtype));
  return name;
}

// Masks stay as they are: the least number of f32, which they hold, is minus infinity in bf16.
bool is_mask(const Node& node, size_t input) {
  return node.op == "Attention" && node.domain == "motet" && input == 3;
}

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
      : graph_(std::move(graph)), options_(options), program_(std::make_shared<CompiledProgram>()) {}

  Result<std::shared_ptr<CompiledProgram>> run();

 private:
  Status take_values();
  Status take_inputs();
  void find_last_uses();
  Status lower_node(int index, const Node& node);
  Status lower_alias(const Node& node);
  Status lower_branch(const Node& node);
  Result<std::shared_ptr<CompiledProgram>> lower_body(const Node& node, std::string_view attribute,
                                                      std::vector<StepOperand>& inputs);
  Status lower_kernel(int index, const Node& node);
  int parts_of(const std::string& key, Nanos estimate) const;
  Result<Operands> operands_of(const Node& node, bool lowered) const;
  Result<ops::Planned> plan(int index, const Node& node, Operands& operands, Step& step);
  Status place_output(int index, const Node& node, const ops::Kernel& kernel, const TensorSpec& planned, size_t output,
                      Step& step);
  Status bind_outputs();

  // As the value lies where it was made; as the graph has it if it was not made yet.
  Result<TensorSpec> spec_of(ValueId id) const;
  StepOperand operand(ValueId id, int buffer, DType dtype) const;
  StepOperand operand(ValueId id, int buffer) const { return operand(id, buffer, *dtypes_[static_cast<size_t>(id)]); }
  int add_buffer(Buffer buffer, ValueId holder);
  // The buffer that has the value in `layout` and type, by a copy if there is none yet.
  Result<int> deliver(ValueId id, Layout layout, DType dtype);
  // The same in the type that the graph gives it.
  Result<int> deliver(ValueId id, Layout layout) { return deliver(id, layout, *dtypes_[static_cast<size_t>(id)]); }
  Result<int> deliver_constant(ValueId id, const TensorSpec& plain, Layout layout);
  std::string key_of(const Node& node) const;
  // For people: many exporters leave nodes unnamed.
  std::string name_of(const Node& node) const { return node.name.empty() ? key_of(node) : node.name; }
  bool may_destroy(int buffer, int index) const;
  // `estimate` is an upper one, see work.h.
  void add_step(Step step, StepInfo info, Nanos estimate);
  void add_copy(const StepOperand& from, const StepOperand& to, Layout layout, const std::string& name);

  std::shared_ptr<const Graph> graph_;
  const LoweringOptions& options_;
  std::shared_ptr<CompiledProgram> program_;
  std::vector<std::optional<Shape>> shapes_;  // per value; filled in for results of branches
  std::vector<std::optional<DType>> dtypes_;
  std::vector<std::vector<Location>> locations_;  // per value; the first is where it was made
  std::vector<int> last_use_;                     // per value: index of the last node that reads it
  std::vector<std::vector<ValueId>> holders_;     // per buffer: values that lie in it
  Storage storage_;                               // empty if nothing is lowered
  std::unordered_map<std::string_view, ValueId> by_name_;
  std::vector<Nanos> estimates_;  // per step
};

Status Lowering::take_values() {
  size_t count = graph_->values.size();
  shapes_.resize(count);
  dtypes_.resize(count);
  locations_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const graph::Value& value = graph_->values[i];
    by_name_.emplace(value.name, static_cast<ValueId>(i));
    shapes_[i] = value.constant ? std::optional<Shape>(value.constant->shape()) : value.static_shape();
    dtypes_[i] = value.constant ? std::optional<DType>(value.constant->dtype()) : value.dtype;
    if (shapes_[i]) {
      auto sound = checked_elements(*shapes_[i]);
      if (!sound.ok()) return invalid_argument("value '" + value.name + "': " + sound.error().message);
    }
  }
  return {};
}

Status Lowering::take_inputs() {
  for (size_t i = 0; i < graph_->inputs.size(); ++i) {
    ValueId id = graph_->inputs[i];
    MOTET_ASSIGN(TensorSpec spec, spec_of(id));
    int buffer = add_buffer({.kind = Buffer::Kind::kInput, .bytes = spec.bytes(), .port = i}, id);
    locations_[static_cast<size_t>(id)] = {{buffer, Layout::kRowMajor, spec.dtype}};
    program_->input_ports.push_back({graph_->value(id).name, spec.dtype, spec.shape});
  }
  return {};
}

void Lowering::find_last_uses() {
  last_use_.assign(graph_->values.size(), -1);
  for (size_t i = 0; i < graph_->nodes.size(); ++i) {
    const Node& node = graph_->nodes[i];
    auto use = [&](ValueId id) {
      if (id != kNoValue) last_use_[static_cast<size_t>(id)] = static_cast<int>(i);
    };
    for (ValueId id : node.inputs) use(id);
    for (const auto& [key, attribute] : node.attributes) {
      const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
      if (body == nullptr || *body == nullptr) continue;
      for (const auto& capture : (*body)->captures)
        if (auto found = by_name_.find(capture.first); found != by_name_.end()) use(found->second);
    }
  }
  for (ValueId id : graph_->outputs) last_use_[static_cast<size_t>(id)] = kForever;
}

Result<TensorSpec> Lowering::spec_of(ValueId id) const {
  auto i = static_cast<size_t>(id);
  const std::string& name = graph_->values[i].name;
  if (!shapes_[i])
    return unsupported("the shape of value '" + name + "' depends on data; shapes must follow from the inputs' shapes");
  if (!dtypes_[i]) return unsupported("the type of value '" + name + "' is not known");
  if (locations_[i].empty()) return TensorSpec{*dtypes_[i], *shapes_[i]};
  return TensorSpec{locations_[i].front().dtype, *shapes_[i], locations_[i].front().layout};
}

StepOperand Lowering::operand(ValueId id, int buffer, DType dtype) const {
  return {buffer, TensorView{dtype, *shapes_[static_cast<size_t>(id)], nullptr}};
}

int Lowering::add_buffer(Buffer buffer, ValueId holder) {
  program_->buffers.push_back(std::move(buffer));
  holders_.emplace_back();
  if (holder != kNoValue) holders_.back().push_back(holder);
  return static_cast<int>(program_->buffers.size()) - 1;
}

void Lowering::add_step(Step step, StepInfo info, Nanos estimate) {
  auto count = [&](const std::vector<StepOperand>& operands) {
    for (const StepOperand& o : operands)
      if (o.buffer != kNoBuffer) info.bytes_moved += program_->buffers[static_cast<size_t>(o.buffer)].bytes;
  };
  count(step.inputs);
  count(step.outputs);
  program_->body.push_back(std::move(step));
  program_->infos.push_back(std::move(info));
  estimates_.push_back(estimate);
}

int Lowering::parts_of(const std::string& key, Nanos estimate) const {
  auto known = options_.parts.find(key);
  return known != options_.parts.end() ? known->second.parts
                                       : parts_for(estimate, options_.quantum, options_.max_width);
}

void Lowering::add_copy(const StepOperand& from, const StepOperand& to, Layout layout, const std::string& name) {
  Step step;
  const size_t bytes = program_->buffers[static_cast<size_t>(to.buffer)].bytes;
  step.key = name + " copied";
  const Nanos estimate = time_to_move(2 * bytes);
  step.parts = parts_of(step.key, estimate);
  step.kernel = std::make_unique<CopyKernel>(bytes, layout);
  step.inputs = {from};
  step.outputs = {to};
  add_step(std::move(step), {.node = name, .op = "copy", .implementation = "copy"}, estimate);
}

Result<int> Lowering::deliver_constant(ValueId id, const TensorSpec& plain, Layout layout) {
  const Tensor& constant = *graph_->value(id).constant;
  if (layout == Layout::kRowMajor && constant.deferred() && options_.weights != nullptr) {
    auto copy = [constant](std::byte* to) {
      Reading from = constant.read();
      std::memcpy(to, from.data, constant.bytes());
      graph::FileMap::release({from.data, constant.bytes()});
    };
    return add_buffer({.kind = Buffer::Kind::kConstant,
                       .bytes = plain.bytes(),
                       .packed = options_.weights->get_or_pack(constant, "plain", constant.bytes(), std::move(copy))},
                      id);
  }
  if (layout == Layout::kRowMajor)
    return add_buffer({.kind = Buffer::Kind::kConstant, .bytes = plain.bytes(), .constant = constant}, id);
  TensorSpec wanted = plain;
  wanted.layout = layout;
  MOTET_ASSIGN(ops::KernelPtr kernel, ops::plan_reorder(plain, wanted, 1));
  Tensor copy = Tensor::zeros(DType::kU8, {static_cast<int64_t>(wanted.bytes())});
  Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel->scratch_bytes())});
  TensorView from = constant.view();
  TensorView to{plain.dtype, plain.shape, copy.view().data};
  kernel->run({.inputs = {&from, 1}, .outputs = {&to, 1}, .scratch = scratch.view().data}, device::Team::serial());
  return add_buffer({.kind = Buffer::Kind::kConstant, .bytes = wanted.bytes(), .constant = std::move(copy)}, id);
}

Result<int> Lowering::deliver(ValueId id, Layout layout, DType dtype) {
  auto i = static_cast<size_t>(id);
  MOTET_ASSIGN(TensorSpec spec, spec_of(id));
  for (const Location& location : locations_[i])
    if (location.dtype == dtype && same_bytes(spec.shape, location.layout, layout)) return location.buffer;
  if (graph_->value(id).constant) {
    MOTET_ASSIGN(int buffer, deliver_constant(id, {*dtypes_[i], *shapes_[i]}, layout));
    locations_[i].push_back({buffer, layout, *dtypes_[i]});
    return buffer;
  }
  if (locations_[i].empty()) return internal_error("value '" + graph_->value(id).name + "' is used before it is made");
  TensorSpec wanted = spec;
  wanted.layout = layout;
  wanted.dtype = dtype;
  const std::string form = copy_name(spec, wanted);
  Step step;
  step.key = graph_->value(id).name + " by " + form;
  const Nanos estimate = time_to_move(spec.bytes() + wanted.bytes());
  step.parts = parts_of(step.key, estimate);
  MOTET_ASSIGN(ops::KernelPtr kernel, ops::plan_reorder(spec, wanted, step.parts));
  int buffer = add_buffer({.kind = Buffer::Kind::kArena, .bytes = wanted.bytes()}, id);
  StepInfo info{.node = graph_->value(id).name, .op = form, .implementation = kernel->implementation()};
  step.inputs = {operand(id, locations_[i].front().buffer, spec.dtype)};
  step.outputs = {operand(id, buffer, dtype)};
  if (kernel->scratch_bytes() > 0)
    step.scratch = add_buffer({.kind = Buffer::Kind::kArena, .bytes = kernel->scratch_bytes()}, kNoValue);
  step.kernel = std::move(kernel);
  add_step(std::move(step), std::move(info), estimate);
  locations_[i].push_back({buffer, layout, dtype});
  return buffer;
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
    auto input = node.inputs.empty() || node.inputs[0] == kNoValue ? std::optional<Shape>()
                                                                   : shapes_[static_cast<size_t>(node.inputs[0])];
    if (node.op == "Transpose" && input && keeps_order(node, *input)) return lower_alias(node);
    auto dtype = [&](ValueId id) { return dtypes_[static_cast<size_t>(id)]; };
    if (node.op == "Cast" && input && one_output && dtype(node.inputs[0]) == dtype(node.outputs[0]))
      return lower_alias(node);
  }
  return lower_kernel(index, node);
}

Status Lowering::lower_alias(const Node& node) {
  auto from = static_cast<size_t>(node.inputs[0]);
  auto to = static_cast<size_t>(node.outputs[0]);
  bool same_shape = node.op == "Identity" || node.op == "Dropout" || node.op == "Cast";
  if (same_shape && !shapes_[to]) shapes_[to] = shapes_[from];
  if (!dtypes_[to]) dtypes_[to] = dtypes_[from];
  MOTET_ASSIGN(TensorSpec source, spec_of(node.inputs[0]));
  MOTET_ASSIGN(TensorSpec result, spec_of(node.outputs[0]));
  if (elements(source.shape) != elements(result.shape))
    return invalid_argument("node '" + node.name + "' (" + node.op + "): " + shape_to_string(source.shape) +
                            " does not have the elements of " + shape_to_string(result.shape));
  // Only what keeps the shape may keep a layout other than row-major.
  Layout layout = same_shape ? source.layout : Layout::kRowMajor;
  MOTET_ASSIGN(int buffer, deliver(node.inputs[0], layout, source.dtype));
  locations_[to] = {{buffer, layout, source.dtype}};
  holders_[static_cast<size_t>(buffer)].push_back(node.outputs[0]);
  return {};
}

Result<std::shared_ptr<CompiledProgram>> Lowering::lower_body(const Node& node, std::string_view attribute,
                                                              std::vector<StepOperand>& inputs) {
  auto original = node.graph_or_null(attribute);
  if (original == nullptr) return invalid_argument("node '" + node.name + "' (If) has no " + std::string(attribute));
  auto body = std::make_shared<Graph>(*original);
  for (const auto& [name, inner] : body->captures) {
    auto found = by_name_.find(name);
    if (found == by_name_.end())
      return invalid_argument("node '" + node.name + "' (If) reads '" + name +
                              "', which the graph around it does not have");
    ValueId outer = found->second;
    graph::Value& value = body->value(inner);
    if (graph_->value(outer).constant) {
      value.constant = graph_->value(outer).constant;
      continue;
    }
    MOTET_ASSIGN(TensorSpec spec, spec_of(outer));
    value.dtype = dtypes_[static_cast<size_t>(outer)];
    value.shape.emplace();
    for (int64_t extent : spec.shape) value.shape->push_back({.extent = extent});
    MOTET_ASSIGN(int buffer, deliver(outer, Layout::kRowMajor));
    body->inputs.push_back(inner);
    inputs.push_back(operand(outer, buffer));
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
  MOTET_ASSIGN(int condition, deliver(node.inputs[0], Layout::kRowMajor));
  branch->condition = operand(node.inputs[0], condition);
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
    shapes_[static_cast<size_t>(id)] = a.shape;
    dtypes_[static_cast<size_t>(id)] = a.dtype;
    MOTET_ASSIGN(TensorSpec spec, spec_of(id));
    int buffer = add_buffer({.kind = Buffer::Kind::kArena, .bytes = spec.bytes()}, id);
    locations_[static_cast<size_t>(id)] = {{buffer, Layout::kRowMajor, spec.dtype}};
    step.outputs.push_back(operand(id, buffer));
  }
  step.inputs = {branch->condition};
  for (const auto& side : branch->inputs) step.inputs.insert(step.inputs.end(), side.begin(), side.end());
  size_t arena = std::max(then->arena, otherwise->arena);
  if (arena > 0) step.scratch = add_buffer({.kind = Buffer::Kind::kArena, .bytes = arena}, kNoValue);
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
  add_step(std::move(step), std::move(info), Nanos(0));
  return {};
}

std::string Lowering::key_of(const Node& node) const {
  for (ValueId id : node.outputs)
    if (id != kNoValue) return graph_->value(id).name;
  return node.name;
}

bool Lowering::may_destroy(int buffer, int index) const {
  if (program_->buffers[static_cast<size_t>(buffer)].kind != Buffer::Kind::kArena) return false;
  const auto& holders = holders_[static_cast<size_t>(buffer)];
  return std::all_of(holders.begin(), holders.end(),
                     [&](ValueId id) { return last_use_[static_cast<size_t>(id)] <= index; });
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
    if (fits && users == 1 && may_destroy(shared.buffer, index)) {
      buffer = shared.buffer;
      holders_[static_cast<size_t>(buffer)] = {id};
    } else if (kernel.must_be_in_place()) {
      if (!fits) return internal_error("node '" + node.name + "': the addend is not of the result's size");
      buffer = add_buffer({.kind = Buffer::Kind::kArena, .bytes = bytes}, id);
      StepOperand copy{buffer, shared.view};
      add_copy(shared, copy, spec.layout, graph_->value(id).name);
      shared = copy;
    }
  }
  if (buffer == kNoBuffer) buffer = add_buffer({.kind = Buffer::Kind::kArena, .bytes = bytes}, id);
  locations_[static_cast<size_t>(id)] = {{buffer, spec.layout, spec.dtype}};
  step.outputs.push_back(operand(id, buffer, spec.dtype));
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
    MOTET_ASSIGN(operands.inputs[i], spec_of(id));
    DType& dtype = operands.inputs[i].dtype;
    dtype = *dtypes_[static_cast<size_t>(id)];
    if (graph_->value(id).constant)
      operands.constants[i] = &*graph_->value(id).constant;
    else if (lowered && dtype == DType::kF32 && !is_mask(node, i))
      dtype = DType::kBF16;
  }
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    MOTET_ASSIGN(operands.outputs[o], spec_of(node.outputs[o]));
    if (lowered && storage_.values[static_cast<size_t>(node.outputs[o])]) operands.outputs[o].dtype = DType::kBF16;
  }
  return operands;
}

Result<ops::Planned> Lowering::plan(int index, const Node& node, Operands& operands, Step& step) {
  std::vector<ops::Refusal> refusals;
  for (bool lowered : {true, false}) {
    if (lowered && (storage_.nodes.empty() || !storage_.nodes[static_cast<size_t>(index)])) continue;
    MOTET_ASSIGN(operands, operands_of(node, lowered));
    step.parts = parts_of(step.key, pessimistic_time(node, operands.inputs, operands.outputs));
    ops::NodeRequest request{.node = node,
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
    auto known = options_.parts.find(step.key);
    const int pieces = known == options_.parts.end() ? 1 : known->second.pieces;
    auto planned = can_piece(request, pieces) ? plan_pieces(request, pieces) : ops::plan_kernel(request);
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
      int unread = add_buffer({.kind = Buffer::Kind::kConstant, .bytes = operands.inputs[i].bytes()}, kNoValue);
      step.inputs.push_back(operand(node.inputs[i], unread, dtype));
      continue;
    }
    MOTET_ASSIGN(int buffer, deliver(node.inputs[i], kernel.input_layout(i), dtype));
    step.inputs.push_back(operand(node.inputs[i], buffer, dtype));
  }
  for (size_t o = 0; o < node.outputs.size(); ++o)
    MOTET_RETURN_IF_ERROR(place_output(index, node, kernel, operands.outputs[o], o, step));
  if (kernel.scratch_bytes() > 0)
    step.scratch = add_buffer({.kind = Buffer::Kind::kArena, .bytes = kernel.scratch_bytes()}, kNoValue);
  StepInfo info{.node = name_of(node),
                .op = step_name(node),
                .implementation = kernel.implementation(),
                .refusals = std::move(planned->refusals),
                .flops = kernel.flops(),
                .weight_bytes = kernel.packed_bytes()};
  if (options_.weights == nullptr) program_->packed += kernel.packed_bytes();
  step.kernel = std::move(planned->kernel);
  add_step(std::move(step), std::move(info), pessimistic_time(node, operands.inputs, operands.outputs));
  return {};
}

Status Lowering::bind_outputs() {
  for (size_t o = 0; o < graph_->outputs.size(); ++o) {
    ValueId id = graph_->outputs[o];
    MOTET_ASSIGN(TensorSpec spec, spec_of(id));
    spec.layout = Layout::kRowMajor;
    spec.dtype = *dtypes_[static_cast<size_t>(id)];
    MOTET_ASSIGN(int buffer, deliver(id, Layout::kRowMajor));
    Buffer& made = program_->buffers[static_cast<size_t>(buffer)];
    if (made.kind == Buffer::Kind::kArena && made.bytes == spec.bytes()) {
      made.kind = Buffer::Kind::kOutput;
      made.port = o;
    } else {
      int copy = add_buffer({.kind = Buffer::Kind::kOutput, .bytes = spec.bytes(), .port = o}, kNoValue);
      add_copy(operand(id, buffer), operand(id, copy), Layout::kRowMajor, graph_->value(id).name);
    }
    program_->output_ports.push_back({graph_->value(id).name, spec.dtype, spec.shape});
  }
  return {};
}

Result<std::shared_ptr<CompiledProgram>> Lowering::run() {
  MOTET_RETURN_IF_ERROR(take_values());
  MOTET_RETURN_IF_ERROR(take_inputs());
  find_last_uses();
  if (options_.precision == Precision::kBf16 && ops::onednn::has_bf16()) storage_ = bf16_storage(*graph_);
  for (size_t i = 0; i < graph_->nodes.size(); ++i)
    MOTET_RETURN_IF_ERROR(lower_node(static_cast<int>(i), graph_->nodes[i]));
  MOTET_RETURN_IF_ERROR(bind_outputs());
  find_stages(*program_, estimates_, options_.lanes);
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
