#include "compute/engine/dynamic/dynamic_run.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/tensor/named.h"
#include "compute/device/slice_team.h"
#include "compute/ops/data_dependent.h"

namespace motet::engine {
namespace {

using graph::kNoValue;
using graph::Node;
using graph::ValueId;
using Step = DynamicBody::Step;

// A result's memory, and what its strings may point into.
struct Strings {
  Tensor memory;
  std::vector<Tensor> inputs;
  std::shared_ptr<const NodePlan> plan;
};

TensorView view_as(const Tensor& tensor, Shape shape) { return {tensor.dtype(), std::move(shape), tensor.view().data}; }

}  // namespace

DynamicRun::DynamicRun(const DynamicProgram& program, std::vector<std::byte*> inputs, std::vector<std::byte*> outputs)
    : program_(program), outputs_(std::move(outputs)), growth_(program.limit()), results_(program.outputs().size()) {
  push(program.body(), program.body().longest);
  const auto& ids = program.body().graph->inputs;
  for (size_t i = 0; i < ids.size(); ++i) {
    const Port& port = program.inputs()[i];
    top().values[static_cast<size_t>(ids[i])] = Tensor({port.dtype, port.shape, inputs[i]}, nullptr);
  }
}

void DynamicRun::push(const DynamicBody& body, int64_t ends_at) {
  Frame frame;
  frame.body = &body;
  frame.values.resize(body.graph->values.size());
  frame.ends_at = ends_at;
  if (!frames_.empty()) {
    for (const auto& [outer, inner] : body.captures)
      if (const Tensor* seen = value(top(), outer)) frame.values[static_cast<size_t>(inner)] = *seen;
  }
  frames_.push_back(std::move(frame));
}

const Tensor* DynamicRun::value(const Frame& frame, ValueId id) const {
  if (id == kNoValue) return nullptr;
  const auto& made = frame.values[static_cast<size_t>(id)];
  if (made) return &*made;
  const auto& constant = frame.body->graph->value(id).constant;
  return constant ? &*constant : nullptr;
}

Result<std::vector<NodeInput>> DynamicRun::inputs_of(const Frame& frame, const Node& node) const {
  std::vector<NodeInput> inputs;
  inputs.reserve(node.inputs.size());
  for (ValueId id : node.inputs) {
    const Tensor* tensor = value(frame, id);
    if (id != kNoValue && tensor == nullptr)
      return invalid_argument("it reads '" + frame.body->graph->value(id).name + "' before that is made");
    inputs.push_back({tensor, tensor != nullptr && frame.body->graph->value(id).constant.has_value()});
  }
  return inputs;
}

void DynamicRun::give(Frame& frame, const Node& node, size_t output, Tensor tensor) {
  if (output >= node.outputs.size() || node.outputs[output] == kNoValue) return;
  auto id = static_cast<size_t>(node.outputs[output]);
  if (!frame.body->graph->values[id].constant) frame.values[id] = std::move(tensor);
}

void DynamicRun::forget_dead(Frame& frame, size_t step) {
  for (ValueId id : frame.body->steps[step].dead) frame.values[static_cast<size_t>(id)].reset();
}

Error DynamicRun::fault(const graph::Graph& graph, const Node& node, const Error& error) {
  std::string name = node.name;
  if (name.empty() && !node.outputs.empty() && node.outputs[0] != kNoValue) name = graph.value(node.outputs[0]).name;
  return {error.code, "node '" + name + "' (" + node.op + "): " + error.message};
}

Status DynamicRun::step(device::Team& team, const device::Stop&) {
  MOTET_CHECK(!done(), "a step after the last");
  Frame& frame = top();
  if (frame.next < frame.body->steps.size()) MOTET_RETURN_IF_ERROR(run_step(team));
  // A turn that has no node of its own still takes a step, so that a loop can be interrupted.
  while (!frames_.empty() && top().next == top().body->steps.size()) {
    // The node whose body this is, if it is one's.
    const Frame* outer = frames_.size() > 1 ? &frames_[frames_.size() - 2] : nullptr;
    const graph::Graph* around = outer == nullptr ? nullptr : outer->body->graph.get();
    const size_t index = outer == nullptr ? 0 : outer->next;
    Result<bool> again = finish_frame();
    if (!again.ok()) return around == nullptr ? again.error() : fault(*around, around->nodes[index], again.error());
    if (*again) break;
  }
  return {};
}

Status DynamicRun::run_step(device::Team& team) {
  Frame& frame = top();
  const size_t index = frame.next;
  const Step& step = frame.body->steps[index];
  const graph::Graph& graph = *frame.body->graph;  // outlives the frame, which entering a body may move
  const Node& current = graph.nodes[index];
  Status status;
  bool entered = false;
  switch (step.kind) {
    case Step::Kind::kKernel: status = run_kernel(current, *step.plans, team); break;
    case Step::Kind::kAlias: status = run_alias(current, *step.plans); break;
    case Step::Kind::kData: status = run_from_data(current); break;
    case Step::Kind::kIf: status = enter_if(current); break;
    case Step::Kind::kLoop: status = enter_loop(current); break;
    case Step::Kind::kScan: status = enter_scan(current); break;
    case Step::Kind::kSkipped: break;
  }
  if (!status.ok()) return fault(graph, current, status.error());
  entered = step.kind == Step::Kind::kIf || step.kind == Step::Kind::kLoop || step.kind == Step::Kind::kScan;
  if (entered) return {};  // its body's last step, or its own lack of turns, ends it
  done_ = std::min(done_ + step.longest, frame.ends_at);
  forget_dead(frame, index);
  ++frame.next;
  return {};
}

Status DynamicRun::run_kernel(const Node& node, NodePlans& plans, device::Team& team) {
  Frame& frame = top();
  MOTET_ASSIGN(const std::vector<NodeInput> given, inputs_of(frame, node));
  MOTET_ASSIGN(auto plan, plans.find_or_make(given));
  std::vector<Tensor> inputs(given.size());
  std::vector<TensorView> views(given.size());
  MOTET_ASSIGN(Tensor scratch, growth_.make(DType::kU8, {static_cast<int64_t>(plan->kernel->scratch_bytes())}));
  std::atomic<const char*> fault{nullptr};
  device::SliceTeam one(team, 1), fixed(team, plan->parts);
  auto copy = [&](const ops::Kernel& reorder, const TensorView& from, const TensorView& to) -> Status {
    MOTET_ASSIGN(Tensor own, growth_.make(DType::kU8, {static_cast<int64_t>(reorder.scratch_bytes())}));
    reorder.run({.inputs = {&from, 1}, .outputs = {&to, 1}, .scratch = own.view().data}, one);
    return {};
  };
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i].tensor == nullptr) continue;
    inputs[i] = *given[i].tensor;
    if (plan->input_reorders[i]) {
      MOTET_ASSIGN(Tensor laid_out, growth_.make(DType::kU8, {static_cast<int64_t>(plan->inputs[i].bytes())}));
      inputs[i] = Tensor({given[i].tensor->dtype(), given[i].tensor->shape(), laid_out.view().data}, laid_out.owner());
      MOTET_RETURN_IF_ERROR(copy(*plan->input_reorders[i], given[i].tensor->view(), inputs[i].view()));
    }
    views[i] = inputs[i].view();
  }
  std::vector<Tensor> outputs(plan->outputs.size());
  std::vector<TensorView> output_views(plan->outputs.size());
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    const ops::TensorSpec& spec = plan->outputs[o];
    MOTET_ASSIGN(Tensor memory, growth_.make(DType::kU8, {static_cast<int64_t>(spec.bytes())}));
    outputs[o] = Tensor({spec.dtype, spec.shape, memory.view().data}, memory.owner());
    if (spec.dtype == DType::kString) std::memset(memory.view().data, 0, spec.bytes());
    output_views[o] = outputs[o].view();
    const int shared = plan->kernel->output_in_place_of(o);
    if (plan->kernel->must_be_in_place() && shared >= 0) {
      TensorView& addend = views[static_cast<size_t>(shared)];
      std::memcpy(output_views[o].data, addend.data, spec.bytes());
      addend.data = output_views[o].data;
    }
  }
  plan->kernel->run({views, output_views, scratch.view().data, &fault}, fixed);
  if (const char* message = fault.load(std::memory_order_relaxed)) return invalid_argument(message);
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    if (plan->output_reorders[o]) {
      MOTET_ASSIGN(Tensor row_major, growth_.make(outputs[o].dtype(), outputs[o].shape()));
      MOTET_RETURN_IF_ERROR(copy(*plan->output_reorders[o], outputs[o].view(), row_major.view()));
      outputs[o] = std::move(row_major);
    }
    if (outputs[o].dtype() == DType::kString) {
      TensorView view = outputs[o].view();
      outputs[o] = Tensor(std::move(view), std::make_shared<Strings>(Strings{outputs[o], inputs, plan}));
    }
    give(frame, node, o, std::move(outputs[o]));
  }
  return {};
}

Status DynamicRun::run_alias(const Node& node, NodePlans& plans) {
  Frame& frame = top();
  MOTET_ASSIGN(const std::vector<NodeInput> given, inputs_of(frame, node));
  if (given.empty() || given[0].tensor == nullptr) return invalid_argument("its first input is left out");
  Shape shape = given[0].tensor->shape();
  if (node.op != "Identity") {
    MOTET_ASSIGN(auto plan, plans.find_or_make(given));
    shape = plan->outputs[0].shape;
  }
  give(frame, node, 0, Tensor(view_as(*given[0].tensor, std::move(shape)), given[0].tensor->owner()));
  return {};
}

Status DynamicRun::run_from_data(const Node& node) {
  Frame& frame = top();
  std::vector<const Tensor*> inputs;
  MOTET_ASSIGN(const std::vector<NodeInput> given, inputs_of(frame, node));
  for (const NodeInput& input : given) inputs.push_back(input.tensor);
  MOTET_ASSIGN(std::vector<Tensor> results, ops::compute_from_data(node, inputs));
  for (size_t o = 0; o < results.size(); ++o) {
    MOTET_ASSIGN(Tensor charged, growth_.adopt(results[o]));
    give(frame, node, o, std::move(charged));
  }
  return {};
}

Status DynamicRun::deliver(std::vector<Tensor> results) {
  for (size_t o = 0; o < results.size(); ++o) {
    const Port& port = program_.outputs()[o];
    const Tensor& made = results[o];
    if (made.dtype() != port.dtype)
      return internal_error("output '" + port.name + "' is " + std::string(dtype_kserve_name(made.dtype())) + ", not " +
                            std::string(dtype_kserve_name(port.dtype)));
    if (outputs_[o] != nullptr) {
      if (made.shape() != port.shape)
        return internal_error("output '" + port.name + "' is " + shape_to_string(made.shape()) + ", not " +
                              shape_to_string(port.shape));
      if (made.view().bytes() > 0) std::memcpy(outputs_[o], made.view().data, made.view().bytes());
    } else if (made.dtype() == DType::kString) {
      results_[o] = copy_strings(made.view());
    } else {
      // Its memory may be an input's or a weight's, which need not live as long as the answer.
      MOTET_ASSIGN(results_[o], growth_.make(made.dtype(), made.shape()));
      if (made.view().bytes() > 0) std::memcpy(results_[o].view().data, made.view().data, made.view().bytes());
    }
  }
  return {};
}

}  // namespace motet::engine
