#include "compute/ops/matmul/constant_product.h"

#include <cstring>

#include "compute/ops/support/adapt.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

bool is_carried(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

// Whether input 2 is added as the post-ops say, and so is no bias.
Result<bool> adds_input_2(const NodeRequest& request) {
  bool added = false;
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind != graph::PostOp::Kind::kAdd) continue;
    const auto i = static_cast<size_t>(op.input);
    if (op.input < 0 || !has_input(request, i))
      return unsupported("a fused addition of absent input " + std::to_string(op.input));
    const TensorSpec& other = request.inputs[i];
    if (other.shape != request.outputs[0].shape || !is_carried(other.dtype))
      return unsupported("a fused addition of " + describe(other) + " to " + describe(request.outputs[0]));
    added = added || i == 2;
  }
  return added;
}

}  // namespace

Result<ConstantProduct> read_constant_product(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, request.inputs.size()));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const graph::Node& node = request.node;
  const Shape &a = request.inputs[0].shape, &b = request.inputs[1].shape;
  const TensorSpec& out = request.outputs[0];
  if (!is_carried(out.dtype)) return unsupported("a result of " + describe(out));
  if (b.size() != 2 || a.empty()) return unsupported("a right-hand side that is not a plain matrix");
  if (constant_input(request, 1) == nullptr) return unsupported("a right-hand side that is not constant");
  const bool gemm = node.op == "Gemm";
  if (gemm && (node.int_or("transA", 0) != 0 || a.size() != 2)) return unsupported("transA 1");
  if (node.float_or("alpha", 1.0F) != 1.0F || node.float_or("beta", 1.0F) != 1.0F)
    return unsupported("alpha or beta other than 1");
  ConstantProduct p{.k = a.back(), .type = request.inputs[0].dtype, .result = out.dtype};
  p.turned = gemm && node.int_or("transB", 0) != 0;
  p.n = b[p.turned ? 0 : 1];
  if (p.k < 1 || p.n < 1 || elements(a) < 1) return unsupported("an empty product");
  p.m = elements(a) / p.k;
  if (b[p.turned ? 1 : 0] != p.k || elements(out.shape) != p.m * p.n)
    return unsupported("extents that do not fit: " + describe(request.inputs[1]) + " and " + describe(out));
  MOTET_ASSIGN(const bool added, adds_input_2(request));
  if (has_input(request, 2) && !added) {
    const TensorSpec& bias = request.inputs[2];
    if (bias.dtype != DType::kF32 || bias.shape.empty() || bias.shape.back() != p.n || elements(bias.shape) != p.n)
      return unsupported("a bias of " + describe(bias));
    p.bias = 2;
  }
  return p;
}

void copy_row(const ConstantProduct& product, const std::byte* right, int64_t i, int64_t first, int64_t count,
              float* to) {
  auto copy = [&](int64_t element, float* at, int64_t elements) {
    std::memcpy(at, right + element * static_cast<int64_t>(sizeof(float)),
                static_cast<size_t>(elements) * sizeof(float));
  };
  if (!product.turned) return copy(i * product.n + first, to, count);
  for (int64_t c = 0; c < count; ++c) copy((first + c) * product.k + i, to + c, 1);
}

}  // namespace motet::ops
