// Products of fp32 with constant weights become motet:QuantisedMatMul, where the program may be int8. Only in a graph
// whose extents are all known: what runs node by node stays exact.
#include <algorithm>

#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

// Smaller products gain nothing.
constexpr int64_t kLeastDepth = 32;
constexpr int64_t kLeastColumns = 16;
// Without instructions for int8 the weights are widened, which pays where reading them takes the time: measured, with
// up to so many rows to multiply by them.
constexpr int64_t kFewRows = 4;

bool is_static(const Graph& graph) {
  return std::all_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    return std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) {
      return id == kNoValue || graph.value(id).constant || graph.value(id).static_shape().has_value();
    });
  });
}

bool is_plain(const Node& node) {
  return node.int_or("transA", 0) == 0 && node.float_or("alpha", 1.0F) == 1.0F && node.float_or("beta", 1.0F) == 1.0F;
}

// One number a column, or no bias.
bool has_plain_bias(const Graph& graph, const Node& node, int64_t columns) {
  if (node.inputs.size() < 3 || node.inputs[2] == kNoValue) return true;
  if (std::any_of(node.post_ops.begin(), node.post_ops.end(), [](const PostOp& op) { return op.input == 2; }))
    return true;  // a residual
  const Value& bias = graph.value(node.inputs[2]);
  const auto shape = bias.constant ? std::optional<Shape>(bias.constant->shape()) : bias.static_shape();
  return shape && bias.dtype == DType::kF32 && !shape->empty() && shape->back() == columns &&
         elements(*shape) == columns;
}

bool may_be_int8(const Graph& graph, const Node& node, bool int8) {
  if (!node.domain.empty() || (node.op != "MatMul" && node.op != "Gemm") || !is_plain(node)) return false;
  const Value &x = graph.value(node.inputs[0]), &weights = graph.value(node.inputs[1]);
  if (x.constant || x.dtype != DType::kF32 || !weights.constant || weights.constant->dtype() != DType::kF32)
    return false;
  const auto rows = x.static_shape();
  const Shape& shape = weights.constant->shape();
  if (!rows || rows->empty() || shape.size() != 2) return false;
  const bool turned = node.int_or("transB", 0) != 0;
  const int64_t depth = shape[turned ? 1 : 0], columns = shape[turned ? 0 : 1];
  if (depth < kLeastDepth || columns < kLeastColumns || rows->back() != depth) return false;
  return (int8 || elements(*rows) / depth <= kFewRows) && has_plain_bias(graph, node, columns);
}

}  // namespace

Result<int> quantise_products(Graph& graph, const PassContext& context) {
  if (!context.quantise || !is_static(graph)) return 0;
  int rewrites = 0;
  for (Node& node : graph.nodes) {
    if (!may_be_int8(graph, node, context.int8)) continue;
    node.op = "QuantisedMatMul";
    node.domain = "motet";
    node.opset = 1;
    ++rewrites;
  }
  return rewrites;
}

}  // namespace motet::graph
