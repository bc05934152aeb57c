// DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul by both scales, as onnxruntime.quantization.quantize_dynamic
// writes products, becomes one motet:QuantisedMatMul of the real input with the weights as they are. One range for all
// rows, as the op says; a bias, an activation and a residual can then be fused as with any product.
#include "compute/graph/passes.h"
#include "compute/graph/quantized.h"

namespace motet::graph {
namespace {

class Fusion {
 public:
  explicit Fusion(Graph& graph) : rewriter_(graph) {}

  int run() {
    return rewrite_each(rewriter_, [&](int index) { return fuse(index); });
  }

 private:
  // The plain node of that op which makes `id`; unless `shared`, only if one input reads it.
  const Node* maker(ValueId id, std::string_view op, bool shared = false) const {
    if (id == kNoValue || (!shared && !rewriter_.read_once(id))) return nullptr;
    const int index = rewriter_.maker(id);
    if (index < 0 || rewriter_.removed(index)) return nullptr;
    const Node& node = rewriter_.node(index);
    return node.op == op && node.domain.empty() && node.post_ops.empty() ? &node : nullptr;
  }

  bool fuse(int index) {
    const Node& root = rewriter_.node(index);
    if (root.op != "Mul" || !root.domain.empty() || !root.post_ops.empty() || root.inputs.size() != 2) return false;
    for (size_t side : {size_t{0}, size_t{1}})
      if (match(index, root.inputs[side], root.inputs[1 - side])) return true;
    return false;
  }

  bool match(int index, ValueId sums, ValueId units) {
    const Node* cast = maker(sums, "Cast");
    if (cast == nullptr || rewriter_.value(sums).dtype != DType::kF32) return false;
    const Node* product = maker(cast->inputs[0], "MatMulInteger");
    if (product == nullptr || product->inputs.size() < 3) return false;
    const Node* rounding = maker(product->inputs[0], "DynamicQuantizeLinear", true);
    const Node* unit = maker(units, "Mul", true);
    if (rounding == nullptr || unit == nullptr || product->inputs[0] != rounding->outputs[0] ||
        product->inputs[2] != rounding->outputs[2])
      return false;
    const bool first = unit->inputs[0] == rounding->outputs[1];
    if (!first && unit->inputs[1] != rounding->outputs[1]) return false;
    const Linear weights{product->inputs[1], unit->inputs[first ? 1 : 0],
                         product->inputs.size() > 3 ? product->inputs[3] : kNoValue};
    if (!takes(weights)) return false;
    Node fused{.op = "QuantisedMatMul", .domain = "motet", .name = product->name, .opset = 1};
    fused.inputs = {rounding->inputs[0], weights.numbers, kNoValue, weights.scale, weights.zero};
    fused.outputs = rewriter_.node(index).outputs;
    fused.attributes.emplace("per_tensor", int64_t{1});
    rewriter_.put(index, std::move(fused));
    return true;
  }

  // A constant matrix with parameters of one number, or one a column.
  bool takes(const Linear& weights) const {
    const auto& numbers = rewriter_.value(weights.numbers).constant;
    const auto scales = floats_of(rewriter_.value(weights.scale));
    if (!numbers || numbers->shape().size() != 2 || !scales) return false;
    if (numbers->dtype() != DType::kI8 && numbers->dtype() != DType::kU8) return false;
    const auto columns = static_cast<size_t>(numbers->shape()[1]);
    const Shape& shape = rewriter_.value(weights.scale).constant->shape();
    if (scales->size() != 1 && (scales->size() != columns || shape.size() != 1)) return false;
    const auto zeros = zeros_of(rewriter_, weights);
    if (!zeros || (zeros->size() != 1 && zeros->size() != columns && weights.zero != kNoValue)) return false;
    return elements(numbers->shape()) > 0 && fits_i8(rewriter_, weights, 1);
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> fuse_dynamic(Graph& graph, const PassContext& context) { return context.int8 ? Fusion(graph).run() : 0; }

}  // namespace motet::graph
