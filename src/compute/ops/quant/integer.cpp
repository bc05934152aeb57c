// QLinearConv, QLinearMatMul and QGemm with whatever parameters: the numbers less their zero points are multiplied by
// the plain f32 kernels, whose sums are whole, and the sums are scaled and rounded once.
#include <algorithm>
#include <cmath>
#include <memory>

#include "compute/ops/conv/conv.h"
#include "compute/ops/matmul/matmul.h"
#include "compute/ops/quant/quant.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// What the node is in f32, and where its parameters are.
struct Form {
  const char* op;
  Result<KernelPtr> (*plan)(const NodeRequest& request);
  size_t result;  // scale; the zero point follows
  size_t bias;
  bool channel_first;  // the weights' slices are output dimension 1, else the last
  size_t axis;         // of the slices in the weights
};

int32_t integer(DType dtype, const std::byte* data, int64_t i) {
  switch (dtype) {
    case DType::kU8: return static_cast<int32_t>(data[i]);
    case DType::kI8: return static_cast<int8_t>(data[i]);
    default: return reinterpret_cast<const int32_t*>(data)[i];
  }
}

// [outer, slices, inner] elements with one zero point, or one a slice.
struct Slices {
  int64_t count = 1, inner = 1;
  int64_t of(int64_t element) const { return count == 1 ? 0 : element / inner % count; }
};

// Writes numbers less their zero points as f32.
void subtract(const TensorView& numbers, const TensorView& zeros, const Slices& slices, float* to, device::Team& team) {
  team.for_range(numbers.elements(), kGrain / 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int32_t zero = zeros.data == nullptr ? 0 : integer(zeros.dtype, zeros.data, slices.of(i));
      to[i] = static_cast<float>(integer(numbers.dtype, numbers.data, i) - zero);
    }
  });
}

class IntegerKernel final : public Kernel {
 public:
  static Result<KernelPtr> plan(const NodeRequest& request, const Form& form) {
    MOTET_RETURN_IF_ERROR(expect_inputs(request, 6, 9));
    for (size_t i : {size_t{0}, size_t{3}}) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kU8, DType::kI8}));
    for (size_t i : {size_t{1}, size_t{4}}) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
    if (!request.node.post_ops.empty()) return unsupported("post-ops on quantised numbers");
    auto self = std::make_unique<IntegerKernel>();
    self->form_ = form;
    self->x_ = elements(request.inputs[0].shape);
    self->y_ = elements(request.outputs[0].shape);
    const Shape& w = request.inputs[3].shape;
    const Shape& y = request.outputs[0].shape;
    self->w_ = elements(w);
    if (form.axis >= w.size() || y.size() < (form.channel_first ? 2U : 1U))
      return unsupported("weights " + describe(request.inputs[3]));
    const size_t channel = form.channel_first ? 1 : y.size() - 1;
    MOTET_ASSIGN(self->weights_, self->slices(request, w, form.axis));
    self->result_ = {elements(request.inputs[4].shape) == 1 ? 1 : y[channel], product(y, channel + 1, y.size())};
    self->channels_ = {y[channel], self->result_.inner};
    graph::Node node = request.node;
    node.op = form.op;
    node.domain.clear();
    node.inputs = {0, 1};
    const TensorSpec inputs[] = {{DType::kF32, request.inputs[0].shape}, {DType::kF32, w}};
    const bool present[] = {true, true};
    const Tensor* constants[] = {nullptr, nullptr};
    const TensorSpec outputs[] = {{DType::kF32, y}};
    MOTET_ASSIGN(self->kernel_, form.plan({.node = node,
                                           .inputs = inputs,
                                           .present = present,
                                           .constants = constants,
                                           .outputs = outputs,
                                           .max_width = request.max_width}));
    return KernelPtr(std::move(self));
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    auto* x = reinterpret_cast<float*>(args.scratch);
    auto* w = reinterpret_cast<float*>(args.scratch + aligned(x_));
    auto* sums = reinterpret_cast<float*>(args.scratch + aligned(x_) + aligned(w_));
    subtract(args.inputs[0], args.inputs[2], {}, x, team);
    subtract(args.inputs[3], args.inputs[5], weights_, w, team);
    const TensorView operands[] = {{DType::kF32, args.inputs[0].shape, reinterpret_cast<std::byte*>(x)},
                                   {DType::kF32, args.inputs[3].shape, reinterpret_cast<std::byte*>(w)}};
    const TensorView result{DType::kF32, args.outputs[0].shape, reinterpret_cast<std::byte*>(sums)};
    kernel_->run({operands, {&result, 1}, args.scratch + aligned(x_) + aligned(w_) + aligned(y_), args.fault}, team);
    team.for_range(y_, kGrain / 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) store(args, sums[i], i);
    });
  }

  std::string implementation() const override { return "reference"; }
  size_t scratch_bytes() const override { return aligned(x_) + aligned(w_) + aligned(y_) + kernel_->scratch_bytes(); }
  double flops() const override { return kernel_->flops(); }

 private:
  static size_t aligned(int64_t floats) { return (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64; }

  Result<Slices> slices(const NodeRequest& request, const Shape& w, size_t axis) const {
    for (size_t i : {size_t{4}, size_t{5}}) {
      const int64_t count = has_input(request, i) ? elements(request.inputs[i].shape) : 1;
      if (count != 1 && count != w[axis])
        return unsupported(describe(request.inputs[i]) + " for axis " + std::to_string(axis) + " of " +
                           describe(request.inputs[3]));
    }
    const int64_t zeros = has_input(request, 5) ? elements(request.inputs[5].shape) : 1;
    return Slices{zeros == 1 ? 1 : w[axis], product(w, axis + 1, w.size())};
  }

  void store(const KernelArgs& args, float sum, int64_t i) const {
    auto scale = [&](size_t input, int64_t at) { return input_data<float>(args, input)[at]; };
    if (form_.bias < args.inputs.size() && args.inputs[form_.bias].data != nullptr)
      sum += static_cast<float>(integer(DType::kI32, args.inputs[form_.bias].data, channels_.of(i)));
    const float real = sum * (scale(1, 0) * scale(4, result_.of(i)));
    const bool rounds = form_.result < args.inputs.size() && args.inputs[form_.result].data != nullptr;
    if (!rounds) {
      output_data<float>(args, 0)[i] = real;
      return;
    }
    const bool wide = args.outputs[0].dtype == DType::kU8;
    const TensorView& zero = args.inputs[form_.result + 1];
    const float number =
        std::nearbyint(real / scale(form_.result, 0)) + static_cast<float>(integer(zero.dtype, zero.data, 0));
    const float bounded = std::clamp(number, wide ? 0.0f : -128.0f, wide ? 255.0f : 127.0f);
    args.outputs[0].data[i] = static_cast<std::byte>(static_cast<int>(bounded));
  }

  Form form_{};
  int64_t x_ = 0, w_ = 0, y_ = 0;
  Slices weights_, result_, channels_;
  KernelPtr kernel_;
};

}  // namespace

Result<KernelPtr> plan_qlinear_conv(const NodeRequest& request) {
  return IntegerKernel::plan(request, {"Conv", plan_conv, 6, 8, true, 0});
}

Result<KernelPtr> plan_qlinear_product(const NodeRequest& request) {
  if (request.node.op == "QLinearMatMul") {
    const size_t rank = request.inputs.size() > 3 ? request.inputs[3].shape.size() : 0;
    if (rank == 0) return unsupported("a product by a scalar");
    return IntegerKernel::plan(request, {"MatMul", plan_matmul, 6, SIZE_MAX, false, rank - 1});
  }
  const size_t axis = request.node.int_or("transB", 0) != 0 ? 0 : 1;
  return IntegerKernel::plan(request, {"Gemm", plan_gemm, 7, 6, false, axis});
}

}  // namespace motet::ops
