// QLinear ops that no int8 kernel runs become DequantizeLinear -> op -> QuantizeLinear: where the CPU has no
// instructions for them, or the weights, less their zero point, do not fit i8. The result is what the op says; the
// weights are then folded to f32.
#include "compute/graph/passes.h"
#include "compute/graph/quantized.h"

namespace motet::graph {
namespace {

class Expansion {
 public:
  Expansion(Graph& graph, bool int8) : rewriter_(graph), int8_(int8) {}

  int run() {
    return rewrite_each(rewriter_, [&](int index) { return expand(index); });
  }

 private:
  bool expand(int index) {
    const Node& node = rewriter_.node(index);
    if (!node.post_ops.empty()) return false;
    bool microsoft = node.domain == "com.microsoft";
    if (node.domain.empty() && node.op == "QLinearConv") return weighted(index, "Conv", 6, 8);
    if (node.domain.empty() && node.op == "QLinearMatMul") return weighted(index, "MatMul", 6, kNone);
    if (int8_ || !microsoft) return false;
    if (node.op == "QGemm" && node.inputs.size() == 9) return weighted(index, "Gemm", 7, 6);
    if (node.op == "QLinearAdd") return put(index, "Add", {real(index, 0), real(index, 3)}, 6);
    if (node.op == "QLinearMul") return put(index, "Mul", {real(index, 0), real(index, 3)}, 6);
    if (node.op == "QLinearGlobalAveragePool" && node.int_or("channels_last", 0) == 0)
      return put(index, "GlobalAveragePool", {real(index, 0)}, 3);
    return false;
  }

  static constexpr size_t kNone = SIZE_MAX;

  // Conv, MatMul, Gemm: x and weights at inputs 0 and 3, each with scale and zero point after it.
  bool weighted(int index, const char* op, size_t result, size_t bias) {
    const Node& node = rewriter_.node(index);
    Linear weights{node.inputs[3], node.inputs[4], node.inputs[5]};
    auto scale = floats_of(rewriter_.value(weights.scale));
    if (!rewriter_.value(weights.numbers).constant || !scale || !zeros_of(rewriter_, weights)) return false;
    bool last = node.op == "QLinearMatMul" || (node.op == "QGemm" && node.int_or("transB", 0) == 0);
    size_t rank = rewriter_.value(weights.numbers).constant->shape().size();
    if (rank == 0) return false;
    size_t axis = last ? rank - 1 : 0;
    bool runs = fits_i8(rewriter_, weights, axis) && (node.op != "QLinearConv" || rank == 4) &&
                (node.op != "QLinearMatMul" || rank == 2);
    if (int8_ && runs) return false;
    auto x_scale = scalar_of(rewriter_.value(node.inputs[1]));
    if (!x_scale) return false;
    std::vector<ValueId> inputs = {real(index, 0), real(index, 3, static_cast<int64_t>(axis))};
    if (bias < node.inputs.size() && node.inputs[bias] != kNoValue) {
      std::vector<float> unit(scale->begin(), scale->end());
      for (float& each : unit) each *= *x_scale;
      auto count = static_cast<int64_t>(unit.size());
      ValueId units =
          rewriter_.add_constant("bias_scale", Tensor::of<float>(count == 1 ? Shape{} : Shape{count}, unit));
      inputs.push_back(dequantise(index, {node.inputs[bias], units, kNoValue}, 0));
    }
    return put(index, op, std::move(inputs), result);
  }

  ValueId real(int index, size_t first, int64_t axis = 0) {
    const Node& node = rewriter_.node(index);
    return dequantise(index, {node.inputs[first], node.inputs[first + 1], node.inputs[first + 2]}, axis);
  }

  ValueId dequantise(int index, const Linear& from, int64_t axis) {
    const Value& numbers = rewriter_.value(from.numbers);
    auto shape = numbers.constant ? std::optional<SymShape>() : numbers.shape;
    ValueId to = rewriter_.add_value(numbers.name + "_real", DType::kF32, shape);
    Node node{.op = "DequantizeLinear", .name = rewriter_.value(to).name, .opset = 13};
    node.inputs = {from.numbers, from.scale};
    if (from.zero != kNoValue) node.inputs.push_back(from.zero);
    node.outputs = {to};
    node.attributes.emplace("axis", axis);
    rewriter_.insert_before(index, std::move(node));
    return to;
  }

  // The op itself, and its quantisation with the parameters at inputs `result` and the one after.
  bool put(int index, const char* op, std::vector<ValueId> inputs, size_t result) {
    Node quantize{.op = "QuantizeLinear", .name = rewriter_.node(index).name + "_quantize", .opset = 13};
    Node real = rewriter_.node(index);
    ValueId between = rewriter_.add_value(rewriter_.value(real.outputs[0]).name + "_real", DType::kF32,
                                          rewriter_.value(real.outputs[0]).shape);
    quantize.inputs = {between, real.inputs[result], real.inputs[result + 1]};
    quantize.outputs = real.outputs;
    real.op = op;
    real.domain.clear();
    real.opset = 13;
    real.inputs = std::move(inputs);
    real.outputs = {between};
    rewriter_.insert_before(index, std::move(real));
    rewriter_.put(index, std::move(quantize));
    return true;
  }

  Rewriter rewriter_;
  const bool int8_;
};

}  // namespace

Result<int> expand_quantized(Graph& graph, const PassContext& context) { return Expansion(graph, context.int8).run(); }

}  // namespace motet::graph
