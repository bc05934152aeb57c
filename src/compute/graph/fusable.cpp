#include "compute/graph/fusable.h"

namespace motet::graph {
namespace {

constexpr size_t kBiasInput = 2;

bool has_bias(const Node& node) { return node.inputs.size() > kBiasInput && node.inputs[kBiasInput] != kNoValue; }

}  // namespace

std::optional<Fusable> fusable(const Rewriter& rewriter, const Node& node) {
  const bool quantised = node.domain == "motet" && node.op == "QuantisedMatMul";
  bool convolution = node.op == "Conv" || node.op == "ConvTranspose";
  bool product = node.op == "Gemm" || node.op == "MatMul" || quantised;
  if (!(node.domain.empty() || quantised) || (!convolution && !product) || node.outputs.size() != 1 ||
      node.outputs[0] == kNoValue)
    return std::nullopt;
  const Value& out = rewriter.value(node.outputs[0]);
  if (out.dtype != DType::kF32 || !out.shape || out.shape->size() < 2) return std::nullopt;
  if (node.op == "MatMul") {
    // A vector on the right leaves no channel dimension.
    const auto& right = rewriter.value(node.inputs[1]).shape;
    const auto& left = rewriter.value(node.inputs[0]).shape;
    if (!right || right->size() < 2 || !left || left->size() < 2) return std::nullopt;
  }
  Fusable shape;
  shape.rank = out.shape->size();
  shape.axis = convolution ? 1 : shape.rank - 1;
  const Dim& channels = (*out.shape)[shape.axis];
  if (!channels.known() || channels.extent < 1) return std::nullopt;
  shape.channels = channels.extent;
  return shape;
}

int sole_source(const Rewriter& rewriter, const Node& reader, size_t i) {
  if (i >= reader.inputs.size() || reader.inputs[i] == kNoValue) return -1;
  ValueId id = reader.inputs[i];
  int maker = rewriter.maker(id);
  if (maker < 0 || !rewriter.read_once(id)) return -1;
  const Node& node = rewriter.node(maker);
  return node.post_ops.empty() && fusable(rewriter, node) ? maker : -1;
}

std::optional<std::vector<float>> bias_of(const Rewriter& rewriter, const Node& node, const Fusable& shape) {
  if (!has_bias(node)) return std::vector<float>(static_cast<size_t>(shape.channels), 0.0F);
  bool convolution = node.op == "Conv" || node.op == "ConvTranspose";
  const Value& bias = rewriter.value(node.inputs[kBiasInput]);
  // A convolution's bias is the list itself; a product's broadcasts along the last dimension.
  auto list =
      convolution ? per_channel(bias, 1, 0, shape.channels) : per_channel(bias, shape.rank, shape.axis, shape.channels);
  if (!list) return std::nullopt;
  float beta = node.op == "Gemm" ? node.float_or("beta", 1.0F) : 1.0F;
  for (float& each : *list) each *= beta;
  return list;
}

void set_bias(Rewriter& rewriter, Node& node, std::vector<float> bias) {
  if (node.inputs.size() <= kBiasInput) node.inputs.resize(kBiasInput + 1, kNoValue);
  auto count = static_cast<int64_t>(bias.size());
  std::string base = rewriter.value(node.outputs[0]).name + "/bias";
  node.inputs[kBiasInput] = rewriter.add_constant(base, Tensor::of<float>({count}, bias));
  if (node.op == "Gemm") node.attributes.insert_or_assign("beta", Attribute(1.0F));
}

}  // namespace motet::graph
