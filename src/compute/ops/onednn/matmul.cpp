// MatMul and Gemm through oneDNN's matmul, which is faster than its inner_product. A constant right-hand side is packed
// once.
#include <algorithm>
#include <cmath>

#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

// Operands as matrices: [batch..., M, K] x [batch..., K, N].
struct Problem {
  Desc left, right, destination;
  float alpha = 1;      // factor of the product
  float beta = 1;       // factor of the bias
  int bias_input = -1;  // an input added to the product, broadcast
  bool flat = false;    // right-hand side is a plain matrix
};

Desc strided(Dims dims, bool transposed, DType dtype) {
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  size_t n = dims.size();
  if (transposed) {
    std::swap(dims[n - 1], dims[n - 2]);
    std::swap(strides[n - 1], strides[n - 2]);
  }
  return {dims, type_of(dtype), strides};
}

int extra_input(const NodeRequest& request) {
  if (request.inputs.size() < 3 || !request.present[2]) return -1;
  for (const auto& op : request.node.post_ops)
    if (op.input == 2) return -1;
  return 2;
}

Result<Problem> read_gemm(const NodeRequest& request) {
  const graph::Node& node = request.node;
  Problem p;
  if (request.inputs[0].shape.size() != 2 || request.inputs[1].shape.size() != 2)
    return unsupported("Gemm of a rank other than 2");
  p.left = strided(request.inputs[0].shape, node.int_or("transA", 0) != 0, request.inputs[0].dtype);
  p.right = strided(request.inputs[1].shape, node.int_or("transB", 0) != 0, request.inputs[1].dtype);
  p.destination = row_major(request.outputs[0].shape, request.outputs[0].dtype);
  p.alpha = node.float_or("alpha", 1.0F);
  p.beta = node.float_or("beta", 1.0F);
  p.bias_input = extra_input(request);
  p.flat = true;
  return p;
}

Result<Problem> read_matmul(const NodeRequest& request) {
  Dims a = request.inputs[0].shape;
  Dims b = request.inputs[1].shape;
  if (a.empty() || b.empty()) return unsupported("MatMul of a scalar");
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  Problem p;
  p.bias_input = extra_input(request);
  p.flat = b.size() == 2;
  if (p.flat) {
    int64_t k = a.back();
    a = {elements(a) / k, k};
  }
  while (a.size() < b.size()) a.insert(a.begin(), 1);
  while (b.size() < a.size()) b.insert(b.begin(), 1);
  size_t n = a.size();
  Dims c(n);
  for (size_t i = 0; i + 2 < n; ++i) c[i] = std::max(a[i], b[i]);
  c[n - 2] = a[n - 2];
  c[n - 1] = b[n - 1];
  p.left = row_major(a, request.inputs[0].dtype);
  p.right = row_major(b, request.inputs[1].dtype);
  p.destination = row_major(c, request.outputs[0].dtype);
  return p;
}

// How the bias enters: inside the primitive (one value a column), or as an addition of its own.
struct Bias {
  Desc desc;  // as the primitive takes it, ranks equal
  bool inside = false;
  bool given = false;
};

Result<Bias> read_bias(const NodeRequest& request, const Problem& p) {
  Bias bias;
  if (p.bias_input < 0) return bias;
  bias.given = true;
  Dims out = p.destination.dims();
  Dims dims = request.inputs[static_cast<size_t>(p.bias_input)].shape;
  // Dimensions that were folded into the rows may be broadcast only if the bias does not have them.
  while (dims.size() > out.size() && dims.front() == 1) dims.erase(dims.begin());
  while (dims.size() < out.size()) dims.insert(dims.begin(), 1);
  if (dims.size() != out.size()) return unsupported("a bias of another rank than the product's");
  int64_t rows = elements(dims) / dims.back();
  for (size_t i = 0; i < dims.size(); ++i)
    if (dims[i] != 1 && dims[i] != out[i])
      return unsupported("a bias of shape " + shape_to_string(dims) + " for a product of " + shape_to_string(out));
  bias.inside = rows == 1 && dims.back() == out.back();
  bias.desc = row_major(dims, request.inputs[static_cast<size_t>(p.bias_input)].dtype);
  return bias;
}

Status add_bias(PrimitiveKernel& kernel, const Problem& p, const Bias& bias) {
  if (p.beta != 1.0F) return unsupported("beta other than 1 with a bias that is not a constant row");
  dnnl::binary::primitive_desc add({algorithm::binary_add, p.destination, bias.desc, p.destination}, attributes(),
                                   cpu_engine());
  if (is_slow(add.impl_info_str()))
    return unsupported("a bias that oneDNN adds only by " + std::string(add.impl_info_str()));
  kernel.add(add, dnnl::binary(add),
             {{DNNL_ARG_SRC_0, Operand::output(0), p.destination},
              {DNNL_ARG_SRC_1, Operand::input(static_cast<size_t>(p.bias_input)), bias.desc},
              {DNNL_ARG_DST, Operand::output(0), p.destination}});
  return {};
}

Operand bias_operand(PrimitiveKernel& kernel, const NodeRequest& request, const Problem& p, const Bias& bias) {
  auto input = static_cast<size_t>(p.bias_input);
  if (p.beta == 1.0F) return Operand::input(input);
  auto packed = pack(request.weights, *request.constants[input], bias.desc, bias.desc, p.beta);
  kernel.keep(packed);
  return Operand::constant(packed);
}

Operand right_operand(PrimitiveKernel& kernel, const NodeRequest& request, const Problem& p, const Desc& wanted) {
  if (wanted == p.right && p.alpha == 1.0F) return Operand::input(1);
  if (request.constants[1] != nullptr) {
    auto packed = pack(request.weights, *request.constants[1], p.right, wanted, p.alpha);
    kernel.keep(packed);
    return Operand::constant(packed);
  }
  Operand copy = kernel.reserve(wanted.get_size());
  kernel.add_reorder(p.right, Operand::input(1), wanted, copy);
  return copy;
}

Result<KernelPtr> build(const NodeRequest& request, const Problem& p, bool fuse_ops) {
  bool constant = request.constants[1] != nullptr;
  if (p.alpha != 1.0F && !constant)
    return unsupported("alpha other than 1 with a right-hand side that is not constant");
  MOTET_ASSIGN(Bias bias, read_bias(request, p));
  if (bias.inside && p.beta != 1.0F && request.constants[static_cast<size_t>(p.bias_input)] == nullptr)
    bias.inside = false;
  bool outside = bias.given && !bias.inside;
  // Post-ops come after the bias.
  bool fused_ops = fuse_ops && !outside;
  FusedOps fused;
  if (fused_ops) {
    MOTET_ASSIGN(fused, fuse(request.node.post_ops));
  }
  // Weights are packed, and take the type of what they meet.
  Desc right = p.right;
  DType type = request.inputs[0].dtype;
  if (constant) right = p.flat ? any_layout(p.right.dims(), type) : row_major(p.right.dims(), type);
  if (constant && !p.flat && request.inputs[1].dtype == type) right = p.right;
  auto description = with_width(
      request.max_width,
      [&] {
        auto desc = bias.inside ? dnnl::matmul::desc(p.left, right, bias.desc, p.destination)
                                : dnnl::matmul::desc(p.left, right, p.destination);
        return dnnl::matmul::primitive_desc(desc, attributes(fused.ops), cpu_engine());
      },
      request.together);
  std::string name = description.impl_info_str();
  if (is_slow(name)) return unsupported("only oneDNN's own " + name);
  int parts = current_parts();
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_name(name);
  if (fused.sum_input >= 0) {
    if (request.inputs[static_cast<size_t>(fused.sum_input)].dtype != request.outputs[0].dtype)
      return unsupported("a residual of another type than the result's");
    kernel->require_in_place(fused.sum_input);
  }
  Dims out = p.destination.dims();
  kernel->set_flops(2.0 * static_cast<double>(elements(out)) * static_cast<double>(p.left.dims().back()));
  Operand weights = right_operand(*kernel, request, p, description.weights_desc());
  std::vector<Binding> bindings = {{DNNL_ARG_SRC, Operand::input(0), p.left},
                                   {DNNL_ARG_WEIGHTS, weights, description.weights_desc()},
                                   {DNNL_ARG_DST, Operand::output(0), p.destination}};
  if (bias.inside) bindings.push_back({DNNL_ARG_BIAS, bias_operand(*kernel, request, p, bias), bias.desc});
  set_parts(parts);
  kernel->add_unfinished<dnnl::matmul>(description, std::move(bindings));
  set_parts(request.max_width);
  if (outside) MOTET_RETURN_IF_ERROR(add_bias(*kernel, p, bias));
  if (!fused_ops) MOTET_RETURN_IF_ERROR(append_separately(*kernel, request, p.destination));
  return KernelPtr(std::move(kernel));
}

}  // namespace

Result<KernelPtr> plan_matmul(const NodeRequest& request) {
  if (auto error = refuse_unless_float(request)) return *error;
  Problem problem;
  if (request.node.op == "Gemm") {
    MOTET_ASSIGN(problem, read_gemm(request));
  } else {
    MOTET_ASSIGN(problem, read_matmul(request));
  }
  auto fused = guarded([&] { return build(request, problem, true); });
  if (fused.ok() || request.node.post_ops.empty()) return fused;
  return guarded([&] { return build(request, problem, false); });
}

}  // namespace motet::ops::onednn
