// Products of flattened rows: where a Reshape stands between a Gemm or MatMul and an activation or the addition of a
// residual, it is moved behind, so that the passes that fuse those find them.
#include <set>

#include "compute/graph/fusable.h"
#include "compute/graph/infer.h"
#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

bool is_activation(const Node& node) {
  static const std::set<std::string_view> kOps = {"Relu",      "Sigmoid", "Tanh",  "HardSwish", "HardSigmoid",
                                                  "LeakyRelu", "Elu",     "Swish", "Gelu"};
  return kOps.contains(node.op) && node.inputs.size() == 1;
}

// A Reshape by constant extents of `id` to those of `like`, made before node `index`.
ValueId reshape_before(Rewriter& rewriter, int index, ValueId id, ValueId like) {
  const Shape to = *rewriter.value(like).static_shape();
  const std::string base = rewriter.value(id).name;
  Node reshape{.op = "Reshape", .name = base + "/flat", .opset = 14};
  const ValueId extents = rewriter.add_constant(
      base + "/extents", Tensor::of<int64_t>({static_cast<int64_t>(to.size())}, std::span<const int64_t>(to)));
  const ValueId result = rewriter.add_value(base + "/flat", DType::kF32, rewriter.value(like).shape);
  reshape.inputs = {id, extents};
  reshape.outputs = {result};
  rewriter.insert_before(index, std::move(reshape));
  return result;
}

// `kept` are values that nodes made here read, which the rewriter does not see.
bool sink(Rewriter& rewriter, int index, std::set<ValueId>& kept) {
  const Node& reshape = rewriter.node(index);
  if (reshape.op != "Reshape" || !reshape.domain.empty() || reshape.outputs[0] == kNoValue) return false;
  const ValueId flat = reshape.inputs[0], shaped = reshape.outputs[0];
  const int source = rewriter.maker(flat);
  if (source < 0 || !rewriter.read_once(flat) || !rewriter.read_once(shaped)) return false;
  if (kept.contains(flat) || kept.contains(shaped)) return false;
  const Node& product = rewriter.node(source);
  const bool is_product = product.op == "Gemm" || product.op == "MatMul";
  if (!is_product || !fusable(rewriter, product) || !rewriter.value(flat).static_shape()) return false;
  const int reader = rewriter.only_reader(shaped);
  Node moved = rewriter.node(reader);
  if (!moved.domain.empty() || !moved.post_ops.empty() || moved.outputs[0] == kNoValue) return false;
  const ValueId result = moved.outputs[0];
  const auto& from = rewriter.value(shaped).shape;
  if (!from || !rewriter.value(result).shape || !same(*from, *rewriter.value(result).shape)) return false;
  if (moved.op == "Add" && moved.inputs.size() == 2) {
    const size_t own = moved.inputs[0] == shaped ? 0 : 1;
    const ValueId other = moved.inputs[1 - own];
    const Value& residual = rewriter.value(other);
    const bool whole = residual.static_shape() && residual.static_shape() == rewriter.value(shaped).static_shape();
    if (other == shaped || residual.constant || residual.dtype != DType::kF32 || !whole) return false;
    moved.inputs[own] = flat;
    moved.inputs[1 - own] = reshape_before(rewriter, reader, other, flat);
    kept.insert(other);
  } else if (is_activation(moved)) {
    moved.inputs[0] = flat;
  } else {
    return false;
  }
  Node behind = rewriter.node(index);
  const std::string name = rewriter.value(result).name;
  const ValueId between = rewriter.add_value(name + "/flat", DType::kF32, rewriter.value(flat).shape);
  moved.outputs = {between};
  behind.inputs[0] = between;
  behind.outputs = {result};
  rewriter.remove(index);
  rewriter.insert_before(reader, std::move(moved));
  rewriter.put(reader, std::move(behind));
  return true;
}

}  // namespace

Result<int> sink_reshapes(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  std::set<ValueId> kept;
  return rewrite_each(rewriter, [&](int node) { return sink(rewriter, node, kept); });
}

}  // namespace motet::graph
