// Conv, Gemm or MatMul, then an activation that nobody else sees the input of: the activation becomes a post-op.
#include <limits>

#include "compute/graph/fusable.h"
#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

using Kind = PostOp::Kind;

// A bound of Clip: an attribute until opset 10, an input after; `fallback` if absent, nothing if it is not constant.
std::optional<float> bound(const Rewriter& rewriter, const Node& node, std::string_view key, size_t i, float fallback) {
  if (i < node.inputs.size() && node.inputs[i] != kNoValue) return scalar_of(rewriter.value(node.inputs[i]));
  return node.float_or(key, fallback);
}

std::optional<PostOp> post_op(const Rewriter& rewriter, const Node& node) {
  if (!node.domain.empty() || !node.post_ops.empty()) return std::nullopt;
  const std::string& op = node.op;
  if (op == "Relu") return PostOp{Kind::kRelu};
  if (op == "Sigmoid") return PostOp{Kind::kSigmoid};
  if (op == "Tanh") return PostOp{Kind::kTanh};
  if (op == "HardSwish") return PostOp{Kind::kHardSwish};
  if (op == "HardSigmoid") return PostOp{Kind::kHardSigmoid, node.float_or("alpha", 0.2F), node.float_or("beta", 0.5F)};
  if (op == "LeakyRelu") return PostOp{Kind::kLeakyRelu, node.float_or("alpha", 0.01F)};
  if (op == "Elu") return PostOp{Kind::kElu, node.float_or("alpha", 1.0F)};
  if (op == "Swish" && node.float_or("alpha", 1.0F) == 1.0F) return PostOp{Kind::kSwish};
  if (op == "Gelu") return PostOp{node.string_or("approximate", "none") == "tanh" ? Kind::kGeluTanh : Kind::kGeluErf};
  if (op == "Clip") {
    constexpr float kMost = std::numeric_limits<float>::max();
    auto low = bound(rewriter, node, "min", 1, -kMost), high = bound(rewriter, node, "max", 2, kMost);
    if (low && high && *low <= *high) return PostOp{Kind::kClip, *low, *high};
  }
  return std::nullopt;
}

// Group normalisation, or batch normalisation that folded nowhere: it may rectify as it stores.
bool is_lone_norm(const Rewriter& rewriter, const Node& node) {
  const bool norm = node.op == "BatchNormalization" || node.op == "GroupNormalization";
  return norm && node.domain.empty() && node.post_ops.empty() && node.outputs.size() == 1 &&
         node.int_or("training_mode", 0) == 0 && rewriter.value(node.outputs[0]).dtype == DType::kF32;
}

bool fuse(Rewriter& rewriter, int index) {
  const Node& node = rewriter.node(index);
  auto activation = post_op(rewriter, node);
  if (!activation || node.inputs.empty() || node.inputs[0] == kNoValue || node.outputs[0] == kNoValue) return false;
  int source = rewriter.maker(node.inputs[0]);
  if (source < 0 || !rewriter.read_once(node.inputs[0])) return false;
  Node fused = rewriter.node(source);
  const bool takes_any = fused.op != "ConvTranspose" && fusable(rewriter, fused);
  if (!takes_any && !(activation->kind == PostOp::Kind::kRelu && is_lone_norm(rewriter, fused))) return false;
  fused.post_ops.push_back(*activation);
  fused.outputs[0] = node.outputs[0];
  rewriter.remove(source);
  rewriter.put(index, std::move(fused));
  return true;
}

}  // namespace

Result<int> fuse_activation(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  return rewrite_each(rewriter, [&](int node) { return fuse(rewriter, node); });
}

}  // namespace motet::graph
