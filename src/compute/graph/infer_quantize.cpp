// Quantisation, and the ops of domain com.microsoft that quantised and fused models use.
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<SymShape> copy_of(const SymShape* shape) {
  return shape == nullptr ? std::nullopt : std::optional(*shape);
}

Status quantize_linear(Inference& n) {
  int64_t told = n.node().int_or("output_dtype", 0);
  auto dtype = told > 0 && told < 1000 ? dtype_from_onnx(static_cast<int>(told)) : n.dtype(2);
  n.set(0, n.has(2) || told > 0 ? dtype : std::optional(DType::kU8), copy_of(n.shape(0)));
  return {};
}

Status dequantize_linear(Inference& n) {
  int64_t told = n.node().int_or("output_dtype", 0);
  n.set(0, told > 0 && told < 1000 ? dtype_from_onnx(static_cast<int>(told)) : n.dtype(1), copy_of(n.shape(0)));
  return {};
}

Status dynamic_quantize(Inference& n) {
  n.set(0, DType::kU8, copy_of(n.shape(0)));
  n.set(1, DType::kF32, SymShape());
  n.set(2, DType::kU8, SymShape());
  return {};
}

// QLinearAdd and QLinearMul: (a, scale, zero, b, scale, zero, scale of c, zero of c).
Status qlinear_binary(Inference& n) {
  const SymShape* a = n.shape(0);
  const SymShape* b = n.shape(3);
  std::optional<SymShape> to;
  if (a != nullptr && b != nullptr) {
    MOTET_ASSIGN(to, broadcast(n, *a, *b));
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status same_as_first(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

Status qlinear_global_pool(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 3));
  const SymShape* x = n.shape(0);
  std::optional<SymShape> to;
  if (x != nullptr) {
    bool last = n.node().int_or("channels_last", 0) != 0;
    to = *x;
    for (size_t i = last ? 1 : 2; i < to->size() - (last ? 1 : 0); ++i) (*to)[i] = dim_of(1);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

// (x, skip, gamma, ...): the sum may be asked for as output 3.
Status skip_layer_norm(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  n.set(3, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

Status fused_matmul(Inference& n) {
  const SymShape* a = n.shape(0);
  const SymShape* b = n.shape(1);
  bool plain = n.node().int_or("transA", 0) == 0 && n.node().int_or("transBatchA", 0) == 0 &&
               n.node().int_or("transBatchB", 0) == 0;
  std::optional<SymShape> to;
  if (a != nullptr && b != nullptr && a->size() >= 2 && b->size() >= 2 && plain) {
    bool transposed = n.node().int_or("transB", 0) != 0;
    MOTET_ASSIGN(to, broadcast(n, SymShape(a->begin(), a->end() - 2), SymShape(b->begin(), b->end() - 2)));
    to->push_back((*a)[a->size() - 2]);
    to->push_back((*b)[b->size() - (transposed ? 2 : 1)]);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

constexpr RuleRow kRules[] = {
    {"QuantizeLinear", quantize_linear},
    {"DequantizeLinear", dequantize_linear},
    {"DynamicQuantizeLinear", dynamic_quantize},
};

// A fused node that says its result's extents.
Status shape_in_attribute(Inference& n) {
  SymShape shape;
  for (int64_t extent : n.node().ints_or("shape", {})) shape.push_back(dim_of(extent));
  n.set(0, n.dtype(0), shape);
  return {};
}

// (x, weights of two dimensions, ...)
Status quantised_matmul(Inference& n) {
  const SymShape* x = n.shape(0);
  const SymShape* weights = n.shape(1);
  std::optional<SymShape> to;
  if (x != nullptr && weights != nullptr && !x->empty() && weights->size() == 2) {
    to = *x;
    to->back() = (*weights)[n.node().int_or("transB", 0) != 0 ? 0 : 1];
  }
  n.set(0, DType::kF32, to);
  return {};
}

constexpr RuleRow kContrib[] = {
    {"com.microsoft:QLinearAdd", qlinear_binary},
    {"com.microsoft:QLinearMul", qlinear_binary},
    {"com.microsoft:QLinearGlobalAveragePool", qlinear_global_pool},
    {"com.microsoft:QLinearSigmoid", same_as_first},
    {"com.microsoft:QLinearLeakyRelu", same_as_first},
    {"com.microsoft:QuantizeLinear", quantize_linear},
    {"com.microsoft:DequantizeLinear", dequantize_linear},
    {"com.microsoft:Gelu", same_as_first},
    {"com.microsoft:FastGelu", same_as_first},
    {"com.microsoft:BiasGelu", same_as_first},
    {"com.microsoft:QuickGelu", same_as_first},
    {"com.microsoft:SkipLayerNormalization", skip_layer_norm},
    {"com.microsoft:FusedMatMul", fused_matmul},
    {"motet:Attention", shape_in_attribute},
    {"motet:ChannelShuffle", same_as_first},
    {"motet:QuantisedMatMul", quantised_matmul},
    {"motet:Swish", same_as_first},
};

}  // namespace

std::span<const RuleRow> quantize_rules() { return kRules; }
std::span<const RuleRow> contrib_rules() { return kContrib; }

}  // namespace motet::graph
