// Computing a node on constants, for folding.
#include <algorithm>

#include "compute/ops/data_dependent.h"
#include "compute/ops/registry.h"
#include "compute/ops/single_node.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// A result's memory together with what it may point into: strings of the inputs, or of the kernel.
struct Keep {
  Tensor memory;
  std::vector<Tensor> inputs;
  std::shared_ptr<Kernel> kernel;
};

}  // namespace

Result<std::vector<Tensor>> evaluate(const graph::Node& node, std::span<const Tensor* const> inputs) {
  const std::span<const Implementation> known = implementations(node.domain, node.op);
  if (known.empty()) return unsupported("no implementation of " + node.op + " is known");
  std::vector<KnownInput> given(node.inputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == graph::kNoValue) continue;
    const Tensor* tensor = i < inputs.size() ? inputs[i] : nullptr;
    if (tensor == nullptr) return unsupported("input " + std::to_string(i) + " is not a constant");
    given[i] = {{tensor->dtype(), tensor->shape()}, tensor};
  }
  if (shaped_by_data(node)) return compute_from_data(node, inputs);
  MOTET_ASSIGN(const graph::Graph graph, infer_node(node, given));
  const graph::Node& own = graph.nodes.front();

  std::vector<TensorSpec> input_specs, output_specs;
  std::vector<TensorView> input_views, output_views;
  std::vector<const Tensor*> constants;
  // vector<bool> has no contiguous form.
  auto present = std::make_unique<bool[]>(own.inputs.size() + 1);
  std::vector<Tensor> kept, results;
  for (size_t i = 0; i < own.inputs.size(); ++i) {
    present[i] = own.inputs[i] != graph::kNoValue;
    constants.push_back(present[i] ? inputs[i] : nullptr);
    input_specs.push_back(present[i] ? TensorSpec{inputs[i]->dtype(), inputs[i]->shape()} : TensorSpec{});
    input_views.push_back(present[i] ? inputs[i]->view() : TensorView{});
    if (present[i]) kept.push_back(*inputs[i]);
  }
  for (graph::ValueId id : own.outputs) {
    if (id == graph::kNoValue) {
      output_specs.emplace_back();
      results.emplace_back();
      output_views.emplace_back();
      continue;
    }
    const graph::Value& value = graph.value(id);
    const std::optional<Shape> shape = value.static_shape();
    output_specs.push_back({*value.dtype, *shape});
    MOTET_ASSIGN(int64_t count, checked_elements(*shape));
    constexpr int64_t kMostElements = int64_t{1} << 28;
    if (count > kMostElements) return resource_exhausted("a constant of " + shape_to_string(*shape) + " is not folded");
    results.push_back(Tensor::zeros(*value.dtype, *shape));
    output_views.push_back(results.back().view());
  }
  const NodeRequest request{own, input_specs, {present.get(), own.inputs.size()}, constants, output_specs};
  MOTET_ASSIGN(KernelPtr planned, known.back().plan(request));
  const std::shared_ptr<Kernel> kernel = std::move(planned);
  const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel->scratch_bytes())});
  std::atomic<const char*> fault{nullptr};
  kernel->run({input_views, output_views, scratch.view().data, &fault}, device::Team::serial());
  if (const char* message = fault.load()) return invalid_argument(node.op + ": " + message);
  for (Tensor& result : results) {
    if (result.dtype() != DType::kString) continue;
    TensorView view = result.view();
    result = Tensor(std::move(view), std::make_shared<Keep>(Keep{result, kept, kernel}));
  }
  return results;
}

}  // namespace motet::ops
