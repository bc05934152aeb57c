// DequantizeLinear -> op -> QuantizeLinear becomes the op on quantised numbers: QLinearConv, QLinearMatMul, and
// com.microsoft's QGemm, QLinearAdd, QLinearMul, QLinearGlobalAveragePool; ops that move elements or take their maximum
// run on the numbers as they are. An activation in between becomes a post-op, carried out before the result is
// quantised. Then additions after a QLinearConv become its residual (inputs 9 to 11: numbers, scale, zero point), which
// rounds once less.
#include <algorithm>
#include <set>

#include "compute/graph/passes.h"
#include "compute/graph/quantized.h"

namespace motet::graph {
namespace {

constexpr std::string_view kMicrosoft = "com.microsoft";

class Fusion {
 public:
  explicit Fusion(Graph& graph) : rewriter_(graph) {}

  int run() {
    int rewrites = 0;
    for (int i = 0; i < rewriter_.node_count(); ++i) {
      if (rewriter_.removed(i)) continue;
      const Node& node = rewriter_.node(i);
      if (node.op == "QuantizeLinear" && quantised(i)) ++rewrites;
      if (node.op == "QLinearAdd" && residual(i)) ++rewrites;
    }
    rewriter_.finish();
    return rewrites;
  }

 private:
  // The node that makes `id` if nothing else reads it.
  int sole_maker(ValueId id) const {
    if (id == kNoValue || !rewriter_.read_once(id)) return -1;
    int index = rewriter_.maker(id);
    return index < 0 || rewriter_.removed(index) || !rewriter_.node(index).post_ops.empty() ? -1 : index;
  }

  std::optional<PostOp> activation(const Node& node) const {
    if (!node.domain.empty()) return std::nullopt;
    if (node.op == "Relu") return PostOp{.kind = PostOp::Kind::kRelu};
    if (node.op != "Clip" || node.opset < 11 || node.inputs.size() != 3) return std::nullopt;
    auto low = node.inputs[1] == kNoValue ? std::nullopt : scalar_of(rewriter_.value(node.inputs[1]));
    auto high = node.inputs[2] == kNoValue ? std::nullopt : scalar_of(rewriter_.value(node.inputs[2]));
    if (!low || !high) return std::nullopt;
    return PostOp{.kind = PostOp::Kind::kClip, .alpha = *low, .beta = *high};
  }

  // The per-tensor operand that input i of `node` was dequantised from.
  std::optional<Linear> operand(const Node& node, size_t i) {
    auto linear = i < node.inputs.size() ? dequantised(rewriter_, node.inputs[i]) : std::nullopt;
    if (!linear || !is_per_tensor(rewriter_, *linear)) return std::nullopt;
    auto dtype = rewriter_.value(linear->numbers).dtype;
    linear->zero = zero_or_new(rewriter_, linear->zero, dtype.value_or(DType::kU8));
    return linear;
  }

  bool quantised(int index) {
    const Node& quantize = rewriter_.node(index);
    if (quantize.inputs.size() < 2 || quantize.int_or("block_size", 0) != 0) return false;
    Linear result{quantize.outputs[0], quantize.inputs[1], quantize.inputs.size() > 2 ? quantize.inputs[2] : kNoValue};
    if (!is_per_tensor(rewriter_, result)) return false;
    std::vector<int> inner;
    std::vector<PostOp> post_ops;
    int at = sole_maker(quantize.inputs[0]);
    if (at >= 0) {
      if (auto op = activation(rewriter_.node(at))) {
        post_ops.push_back(*op);
        inner.push_back(at);
        at = sole_maker(rewriter_.node(at).inputs[0]);
      }
    }
    if (at < 0 || !rewriter_.node(at).domain.empty() || rewriter_.node(at).outputs.size() != 1) return false;
    inner.push_back(at);
    auto fused = fuse(rewriter_.node(at), result, post_ops);
    if (!fused) return false;
    fused->name = rewriter_.node(at).name;
    fused->outputs = {result.numbers};
    if (fused->opset == 0) fused->opset = 1;
    for (const PostOp& op : post_ops) fused->post_ops.push_back(op);
    const std::vector<ValueId> operands = rewriter_.node(at).inputs;
    for (int each : inner) rewriter_.remove(each);
    rewriter_.put(index, std::move(*fused));
    // So that the numbers are seen to have one reader fewer.
    for (ValueId id : operands) {
      int maker = id == kNoValue || !rewriter_.unread(id) ? -1 : rewriter_.maker(id);
      if (maker >= 0 && rewriter_.node(maker).op == "DequantizeLinear") rewriter_.remove(maker);
    }
    return true;
  }

  std::optional<Node> fuse(const Node& node, Linear result, const std::vector<PostOp>& post_ops) {
    static const std::set<std::string_view> kMoving = {"MaxPool", "Reshape",   "Flatten",
                                                       "Squeeze", "Unsqueeze", "Transpose"};
    if (kMoving.contains(node.op)) return post_ops.empty() ? moved(node, result) : std::nullopt;
    // What the zero point's absence means: u8, zero.
    result.zero = zero_or_new(rewriter_, result.zero, DType::kU8);
    if (node.op == "Conv") return convolution(node, result);
    if (node.op == "MatMul" || node.op == "Gemm") return product(node, result);
    if (node.op == "Add" || node.op == "Mul") return binary(node, result);
    if (node.op == "GlobalAveragePool" && post_ops.empty()) return global_pool(node, result);
    return std::nullopt;
  }

  // The same op on the numbers, if they are in the same units before and after.
  std::optional<Node> moved(const Node& node, const Linear& result) {
    auto x = dequantised(rewriter_, node.inputs[0]);
    if (!x || !is_per_tensor(rewriter_, *x)) return std::nullopt;
    auto type = [&](const Linear& l) {
      return l.zero == kNoValue ? DType::kU8 : rewriter_.value(l.zero).constant->dtype();
    };
    bool same = scalar_of(rewriter_.value(x->scale)) == scalar_of(rewriter_.value(result.scale)) &&
                zeros_of(rewriter_, *x) == zeros_of(rewriter_, result) && type(*x) == type(result);
    if (!same) return std::nullopt;
    Node fused = node;
    fused.inputs[0] = x->numbers;
    return fused;
  }

  std::optional<Node> convolution(const Node& node, const Linear& result) {
    auto x = operand(node, 0);
    auto weights = dequantised(rewriter_, node.inputs[1]);
    if (!x || !weights || !fits_i8(rewriter_, *weights, 0)) return std::nullopt;
    const Shape shape = rewriter_.value(weights->numbers).constant->shape();
    if (shape.size() != 4) return std::nullopt;
    ValueId zero = zero_or_new(rewriter_, weights->zero, rewriter_.value(weights->numbers).constant->dtype());
    Node fused = node;
    fused.op = "QLinearConv";
    fused.opset = 10;
    fused.inputs = {x->numbers, x->scale, x->zero, weights->numbers, weights->scale, zero, result.scale, result.zero};
    if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
      auto bias = bias_as_i32(rewriter_, node.inputs[2], x->scale, weights->scale, shape[0]);
      if (!bias) return std::nullopt;
      fused.inputs.push_back(*bias);
    }
    return fused;
  }

  std::optional<Node> product(const Node& node, const Linear& result) {
    auto x = operand(node, 0);
    auto weights = dequantised(rewriter_, node.inputs[1]);
    bool gemm = node.op == "Gemm";
    size_t axis = gemm && node.int_or("transB", 0) != 0 ? 0 : 1;
    if (!x || !weights || !fits_i8(rewriter_, *weights, axis)) return std::nullopt;
    const Shape shape = rewriter_.value(weights->numbers).constant->shape();
    if (shape.size() != 2) return std::nullopt;
    ValueId zero = zero_or_new(rewriter_, weights->zero, rewriter_.value(weights->numbers).constant->dtype());
    Node fused = node;
    fused.inputs = {x->numbers, x->scale, x->zero, weights->numbers, weights->scale, zero};
    if (!gemm) {
      fused.op = "QLinearMatMul";
      fused.opset = 10;
      fused.inputs.insert(fused.inputs.end(), {result.scale, result.zero});
      return fused;
    }
    if (node.float_or("alpha", 1) != 1 || node.float_or("beta", 1) != 1 || node.int_or("transA", 0) != 0)
      return std::nullopt;
    ValueId bias = kNoValue;
    if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
      auto made = bias_as_i32(rewriter_, node.inputs[2], x->scale, weights->scale, shape[axis]);
      if (!made) return std::nullopt;
      bias = *made;
    }
    fused.op = "QGemm";
    fused.domain = kMicrosoft;
    fused.opset = 1;
    fused.inputs.insert(fused.inputs.end(), {bias, result.scale, result.zero});
    return fused;
  }

  std::optional<Node> binary(const Node& node, const Linear& result) {
    auto a = operand(node, 0);
    auto b = operand(node, 1);
    if (!a || !b) return std::nullopt;
    Node fused = node;
    fused.op = node.op == "Add" ? "QLinearAdd" : "QLinearMul";
    fused.domain = kMicrosoft;
    fused.opset = 1;
    fused.inputs = {a->numbers, a->scale, a->zero, b->numbers, b->scale, b->zero, result.scale, result.zero};
    return same_type(a->zero, result.zero) && same_type(b->zero, result.zero) ? std::optional(fused) : std::nullopt;
  }

  std::optional<Node> global_pool(const Node& node, const Linear& result) {
    auto x = operand(node, 0);
    if (!x || !same_type(x->zero, result.zero)) return std::nullopt;
    Node fused = node;
    fused.op = "QLinearGlobalAveragePool";
    fused.domain = kMicrosoft;
    fused.opset = 1;
    fused.inputs = {x->numbers, x->scale, x->zero, result.scale, result.zero};
    return fused;
  }

  bool same_type(ValueId a, ValueId b) const {
    return rewriter_.value(a).constant->dtype() == rewriter_.value(b).constant->dtype();
  }

  // QLinearAdd of a QLinearConv's result and another tensor of its shape.
  bool residual(int index) {
    const Node& add = rewriter_.node(index);
    if (add.domain != kMicrosoft || add.inputs.size() != 8) return false;
    int best = -1;
    size_t side = 0;
    for (size_t i : {size_t{0}, size_t{3}}) {
      int maker = sole_maker(add.inputs[i]);
      if (maker <= best || rewriter_.node(maker).op != "QLinearConv") continue;
      best = maker;
      side = i;
    }
    if (best < 0) return false;
    size_t other = 3 - side;
    const auto& made = rewriter_.value(add.inputs[side]).shape;
    if (!made || made != rewriter_.value(add.inputs[other]).shape) return false;
    if (!same_type(add.inputs[other + 2], add.inputs[7])) return false;
    Node fused = rewriter_.node(best);
    fused.inputs.resize(9, kNoValue);
    fused.inputs[6] = add.inputs[6];
    fused.inputs[7] = add.inputs[7];
    fused.inputs.insert(fused.inputs.end(), {add.inputs[other], add.inputs[other + 1], add.inputs[other + 2]});
    fused.outputs = add.outputs;
    fused.post_ops = {{.kind = PostOp::Kind::kAdd, .input = 9}};
    fused.post_ops.insert(fused.post_ops.end(), add.post_ops.begin(), add.post_ops.end());
    rewriter_.remove(best);
    rewriter_.put(index, std::move(fused));
    return true;
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> fuse_quantized(Graph& graph, const PassContext& context) { return context.int8 ? Fusion(graph).run() : 0; }

}  // namespace motet::graph
