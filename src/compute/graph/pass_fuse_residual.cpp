// Conv, Gemm or MatMul, then Add of a tensor of the same shape: the addition becomes a post-op. Of two candidates the
// later one takes the other's result, so that both are made before they are needed.
#include <algorithm>

#include "compute/graph/fusable.h"
#include "compute/graph/infer.h"
#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

// Residuals come after the place of the bias.
constexpr size_t kFirstExtra = 3;

bool is_addition(const Node& node) {
  return (node.op == "Add" || node.op == "Sum") && node.domain.empty() && node.inputs.size() == 2 &&
         node.post_ops.empty();
}

bool can_take(const Rewriter& rewriter, const Node& add, size_t i) {
  ValueId own = add.inputs[i], other = add.inputs[1 - i];
  int maker = rewriter.maker(own);
  if (own == other || maker < 0 || !rewriter.read_once(own)) return false;
  const Node& node = rewriter.node(maker);
  if (node.op == "ConvTranspose" || !fusable(rewriter, node)) return false;
  bool adds = std::any_of(node.post_ops.begin(), node.post_ops.end(),
                          [](const PostOp& p) { return p.kind == PostOp::Kind::kAdd; });
  // Weights are no residuals: a kernel may add in the residual's own memory.
  const Value& residual = rewriter.value(other);
  const auto& result = rewriter.value(own).shape;
  return !adds && !residual.constant && residual.dtype == DType::kF32 && residual.shape &&
         same(*residual.shape, *result);
}

bool fuse(Rewriter& rewriter, int index) {
  const Node& add = rewriter.node(index);
  if (!is_addition(add) || add.outputs[0] == kNoValue) return false;
  int best = -1;
  size_t side = 0;
  for (size_t i = 0; i < 2; ++i) {
    if (!can_take(rewriter, add, i) || rewriter.maker(add.inputs[i]) <= best) continue;
    best = rewriter.maker(add.inputs[i]);
    side = i;
  }
  if (best < 0) return false;
  Node fused = rewriter.node(best);
  if (fused.inputs.size() < kFirstExtra) fused.inputs.resize(kFirstExtra, kNoValue);
  PostOp post{PostOp::Kind::kAdd};
  post.input = static_cast<int>(fused.inputs.size());
  fused.inputs.push_back(add.inputs[1 - side]);
  fused.post_ops.push_back(post);
  fused.outputs[0] = add.outputs[0];
  rewriter.remove(best);
  rewriter.put(index, std::move(fused));
  return true;
}

}  // namespace

Result<int> fuse_residual(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  return rewrite_each(rewriter, [&](int node) { return fuse(rewriter, node); });
}

}  // namespace motet::graph
