#include "compute/engine/dynamic/node_plans.h"

#include "compute/ops/registry.h"
#include "compute/ops/single_node.h"

namespace motet::engine {
namespace {

using graph::kNoValue;
using ops::Layout;
using ops::TensorSpec;

constexpr size_t kKept = 8;              // plans a node
constexpr size_t kLongestKey = 1 << 12;  // a plan that read more than this is not kept

template <class T>
void append(std::string& key, const T& value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What a plan depends on; empty if that is too long to compare.
std::string key_of(const graph::Node& node, std::span<const NodeInput> inputs) {
  std::string key;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const NodeInput& input = inputs[i];
    key.push_back(input.tensor == nullptr ? 'n' : input.constant ? 'c' : 'v');
    if (input.tensor == nullptr || input.constant) continue;
    const TensorView& view = input.tensor->view();
    key.push_back(static_cast<char>(view.dtype));
    append(key, view.shape.size());
    for (int64_t extent : view.shape) append(key, extent);
    if (!ops::reads_when_planned(node, i)) continue;
    if (view.dtype == DType::kString || key.size() + view.bytes() > kLongestKey) return {};
    key.append(reinterpret_cast<const char*>(view.data), view.bytes());
  }
  return key.empty() ? "-" : key;
}

TensorSpec plain(const graph::Value& value) { return {*value.dtype, *value.static_shape()}; }

Result<ops::KernelPtr> reorder(const TensorSpec& from, const TensorSpec& to) {
  if (from.layout == to.layout) return ops::KernelPtr();
  return ops::plan_reorder(from, to, 1);
}

}  // namespace

Result<std::shared_ptr<const NodePlan>> NodePlans::find_or_make(std::span<const NodeInput> inputs) {
  const std::string key = key_of(node_, inputs);
  if (key.empty()) return make(inputs);
  {
    std::lock_guard lock(mutex_);
    for (auto it = kept_.begin(); it != kept_.end(); ++it) {
      if (it->first != key) continue;
      kept_.splice(kept_.begin(), kept_, it);
      return kept_.front().second;
    }
  }
  MOTET_ASSIGN(auto plan, make(inputs));
  std::lock_guard lock(mutex_);
  kept_.emplace_front(key, plan);
  if (kept_.size() > kKept) kept_.pop_back();
  return plan;
}

Result<std::shared_ptr<const NodePlan>> NodePlans::make(std::span<const NodeInput> inputs) const {
  auto plan = std::make_shared<NodePlan>();
  std::vector<ops::KnownInput> known(inputs.size());
  std::vector<const Tensor*> constants(inputs.size(), nullptr);
  auto present = std::make_unique<bool[]>(inputs.size() + 1);
  bool lasting = true;
  plan->kept.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    present[i] = inputs[i].tensor != nullptr;
    if (!present[i]) continue;
    const Tensor& tensor = *inputs[i].tensor;
    known[i].spec = {tensor.dtype(), tensor.shape()};
    if (inputs[i].constant) {
      known[i].value = constants[i] = &tensor;
    } else if (ops::reads_when_planned(node_, i)) {
      // A copy that lives as long as the plan, for kernels may keep pointers to their constants.
      Tensor copy = Tensor::zeros(tensor.dtype(), tensor.shape());
      if (tensor.view().bytes() > 0) std::memcpy(copy.view().data, tensor.view().data, tensor.view().bytes());
      plan->kept.push_back(std::move(copy));
      known[i].value = constants[i] = &plan->kept.back();
      lasting = false;
    }
  }
  MOTET_ASSIGN(const graph::Graph alone, ops::infer_node(node_, known));
  const graph::Node& own = alone.nodes.front();
  std::vector<TensorSpec> input_specs, output_specs;
  for (const ops::KnownInput& input : known) input_specs.push_back(input.spec);
  for (graph::ValueId id : own.outputs) output_specs.push_back(id == kNoValue ? TensorSpec{} : plain(alone.value(id)));
  ops::NodeRequest request{.node = own,
                           .inputs = input_specs,
                           .present = {present.get(), inputs.size()},
                           .constants = constants,
                           .outputs = output_specs,
                           .max_width = parts_,
                           .weights = lasting ? weights_ : nullptr};
  MOTET_ASSIGN(ops::Planned planned, ops::plan_kernel(request));
  if (parts_ > 1 && planned.kernel->implementation().starts_with("onednn")) {
    // Whether it would meet a barrier on several cores could only be found out by running it once more.
    request.max_width = 1;
    MOTET_ASSIGN(planned, ops::plan_kernel(request));
  }
  plan->parts = request.max_width;
  plan->kernel = std::move(planned.kernel);
  for (size_t i = 0; i < inputs.size(); ++i) {
    TensorSpec wanted = input_specs[i];
    if (present[i]) wanted.layout = plan->kernel->input_layout(i);
    MOTET_ASSIGN(auto copy, reorder(input_specs[i], wanted));
    plan->inputs.push_back(std::move(wanted));
    plan->input_reorders.push_back(std::move(copy));
  }
  for (size_t o = 0; o < output_specs.size(); ++o) {
    TensorSpec left = output_specs[o];
    if (own.outputs[o] != kNoValue) left.layout = plan->kernel->output_layout(o);
    MOTET_ASSIGN(auto copy, reorder(left, output_specs[o]));
    plan->outputs.push_back(std::move(left));
    plan->output_reorders.push_back(std::move(copy));
  }
  return std::shared_ptr<const NodePlan>(std::move(plan));
}

}  // namespace motet::engine
