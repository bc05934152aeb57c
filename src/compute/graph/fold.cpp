#include "compute/graph/fold.h"

#include <array>
#include <string_view>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

// Strings live in a block of their own; count a generous size for each.
constexpr int64_t kStringBytes = 64;

std::optional<int64_t> tensor_bytes(DType dtype, const Shape& shape) {
  auto count = checked_elements(shape);
  if (!count.ok()) return std::nullopt;
  return checked_multiply(*count, dtype == DType::kString ? kStringBytes : static_cast<int64_t>(dtype_bytes(dtype)));
}

bool random_op(std::string_view op) {
  static constexpr std::array<std::string_view, 6> kRandom = {"RandomNormal",      "RandomNormalLike", "RandomUniform",
                                                              "RandomUniformLike", "Multinomial",      "Bernoulli"};
  for (std::string_view name : kRandom)
    if (name == op) return true;
  return false;
}

// Ops whose result's extents depend on data but never hold more than 8 bytes times rank per input element.
bool bounded_by_input(std::string_view op) { return op == "NonZero" || op == "Compress" || op == "Unique"; }

}  // namespace

bool foldable(const Graph& graph, const Node& node) {
  if (node.outputs.empty() || random_op(node.op)) return false;
  for (const auto& [key, attribute] : node.attributes)
    if (std::holds_alternative<std::shared_ptr<const Graph>>(attribute)) return false;
  for (ValueId id : node.inputs)
    if (id != kNoValue && !graph.value(id).constant) return false;
  return true;
}

std::optional<int64_t> folded_bytes(const Graph& graph, const Node& node) {
  int64_t total = 0;
  if (bounded_by_input(node.op)) {
    for (ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      const Tensor& input = *graph.value(id).constant;
      auto rank = static_cast<int64_t>(input.shape().size()) + 4;
      auto bytes = checked_multiply(input.elements(), 8 * rank);
      auto sum = bytes ? checked_add(total, *bytes) : std::nullopt;
      if (!sum) return std::nullopt;
      total = *sum;
    }
    return total;
  }
  for (ValueId id : node.outputs) {
    if (id == kNoValue) continue;
    const Value& value = graph.value(id);
    auto shape = value.static_shape();
    if (!shape || !value.dtype) return std::nullopt;
    auto bytes = tensor_bytes(*value.dtype, *shape);
    auto sum = bytes ? checked_add(total, *bytes) : std::nullopt;
    if (!sum) return std::nullopt;
    total = *sum;
  }
  return total;
}

bool fold_node(Graph& graph, const Node& node, const Evaluator& evaluate) {
  std::vector<const Tensor*> inputs;
  inputs.reserve(node.inputs.size());
  for (ValueId id : node.inputs) inputs.push_back(id == kNoValue ? nullptr : &*graph.value(id).constant);
  auto results = evaluate(node, inputs);
  if (!results.ok() || results->size() < node.outputs.size()) return false;
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    const Value& value = graph.value(node.outputs[o]);
    const Tensor& result = (*results)[o];
    auto shape = value.static_shape();
    if ((value.dtype && *value.dtype != result.dtype()) || (shape && *shape != result.shape())) return false;
  }
  for (size_t o = 0; o < node.outputs.size(); ++o) {
    if (node.outputs[o] == kNoValue) continue;
    Value& value = graph.value(node.outputs[o]);
    Tensor& result = (*results)[o];
    value.dtype = result.dtype();
    value.shape = shape_of(result.shape());
    value.constant = std::move(result);
  }
  return true;
}

}  // namespace motet::graph
