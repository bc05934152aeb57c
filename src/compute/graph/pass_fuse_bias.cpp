// Conv, Gemm or MatMul, then Add (or Sub) of a constant per channel: the constant becomes the bias.
#include "compute/graph/fusable.h"
#include "compute/graph/infer.h"
#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

bool fuse(Rewriter& rewriter, int index) {
  const Node& node = rewriter.node(index);
  bool subtracts = node.op == "Sub";
  if ((node.op != "Add" && !subtracts) || !node.domain.empty() || !node.post_ops.empty()) return false;
  for (size_t i = 0; i < (subtracts ? 1 : 2); ++i) {
    int source = sole_source(rewriter, node, i);
    if (source < 0) continue;
    Node fused = rewriter.node(source);
    Fusable shape = *fusable(rewriter, fused);
    const auto& before = rewriter.value(node.inputs[i]).shape;
    const auto& after = rewriter.value(node.outputs[0]).shape;
    if (!after || !same(*before, *after)) continue;
    auto addend = per_channel(rewriter.value(node.inputs[1 - i]), shape.rank, shape.axis, shape.channels);
    auto bias = bias_of(rewriter, fused, shape);
    if (!addend || !bias) continue;
    for (size_t c = 0; c < bias->size(); ++c) (*bias)[c] += subtracts ? -(*addend)[c] : (*addend)[c];
    fused.outputs[0] = node.outputs[0];
    set_bias(rewriter, fused, std::move(*bias));
    rewriter.remove(source);
    rewriter.put(index, std::move(fused));
    return true;
  }
  return false;
}

}  // namespace

Result<int> fuse_bias(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  return rewrite_each(rewriter, [&](int node) { return fuse(rewriter, node); });
}

}  // namespace motet::graph
