// QLinearConv, QLinearMatMul and QGemm with constant parameters: u8 or i8 times i8, summed in int32, and rounded once
// when the result is stored. Zero points of what is not padded go into the bias; convolutions lie channels last, where
// oneDNN's int8 kernels are at home.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "compute/ops/onednn/common.h"
#include "compute/ops/support/request.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

// Where the parameters of a quantised node are among its inputs.
struct Places {
  size_t weights = 3;
  size_t result;  // scale; the zero point follows
  size_t bias;
};

struct Parameters {
  float x_scale = 1, y_scale = 1;
  int32_t x_zero = 0, y_zero = 0;
  bool real = false;               // the result is f32
  std::vector<float> scales;       // of the weights' columns (output channels)
  std::vector<int32_t> zeros;      // one or per column
  std::vector<float> bias;         // per column, in units of the int32 sums
  std::vector<float> multipliers;  // from the sums to the result, per column or one
};

std::optional<Error> refuse_type(const TensorSpec& spec) {
  if (spec.dtype == DType::kU8 || spec.dtype == DType::kI8) return std::nullopt;
  return unsupported("type " + std::string(dtype_kserve_name(spec.dtype)));
}

Result<std::vector<int32_t>> constant_i32(const NodeRequest& request, size_t i) {
  const Tensor* constant = constant_input(request, i);
  if (constant == nullptr) return unsupported("input " + std::to_string(i) + " that is not constant");
  std::vector<int32_t> list;
  auto take = [&](auto zero) {
    auto values = constant->view().as<const decltype(zero)>();
    list.assign(values.begin(), values.end());
  };
  switch (constant->dtype()) {
    case DType::kU8: take(uint8_t{}); break;
    case DType::kI8: take(int8_t{}); break;
    case DType::kI32: take(int32_t{}); break;
    default: return unsupported("input " + std::to_string(i) + " is " + ops::describe(request.inputs[i]));
  }
  return list;
}

Result<Parameters> read_parameters(const NodeRequest& request, const Places& at, int64_t columns) {
  if (!has_int8()) return unsupported("this CPU has no instructions for products of u8 and s8");
  for (size_t i : {size_t{0}, at.weights})
    if (auto error = refuse_type(request.inputs[i])) return *error;
  Parameters p;
  MOTET_ASSIGN(double x_scale, constant_scalar(request, 1, "scale"));
  MOTET_ASSIGN(double x_zero, constant_scalar(request, 2, "zero point"));
  p.x_scale = static_cast<float>(x_scale);
  p.x_zero = static_cast<int32_t>(x_zero);
  p.real = !has_input(request, at.result);
  if (!p.real) {
    if (auto error = refuse_type(request.outputs[0])) return *error;
    MOTET_ASSIGN(double y_scale, constant_scalar(request, at.result, "scale"));
    MOTET_ASSIGN(double y_zero, constant_scalar(request, at.result + 1, "zero point"));
    p.y_scale = static_cast<float>(y_scale);
    p.y_zero = static_cast<int32_t>(y_zero);
  }
  MOTET_ASSIGN(p.scales, constant_floats(request, at.weights + 1, "scale"));
  MOTET_ASSIGN(p.zeros, constant_i32(request, at.weights + 2));
  for (size_t count : {p.scales.size(), p.zeros.size()})
    if (count != 1 && static_cast<int64_t>(count) != columns)
      return unsupported(std::to_string(count) + " scales or zero points for " + std::to_string(columns) + " columns");
  p.bias.resize(static_cast<size_t>(columns));
  if (has_input(request, at.bias)) {
    MOTET_ASSIGN(auto bias, constant_i32(request, at.bias));
    if (bias.size() != p.bias.size()) return unsupported("a bias of " + std::to_string(bias.size()) + " numbers");
    std::transform(bias.begin(), bias.end(), p.bias.begin(), [](int32_t b) { return static_cast<float>(b); });
  }
  for (float scale : p.scales) p.multipliers.push_back(p.x_scale * scale / p.y_scale);
  return p;
}

// The weights less their zero points as i8, columns along `axis`, and what each column sums to.
struct Weights {
  Tensor numbers;
  std::vector<int64_t> sums;
};

Result<Weights> read_weights(const NodeRequest& request, const Places& at, const Parameters& p, size_t axis) {
  MOTET_ASSIGN(auto numbers, constant_i32(request, at.weights));
  const Shape& shape = request.inputs[at.weights].shape;
  auto inner = static_cast<size_t>(product(shape, axis + 1, shape.size()));
  auto columns = static_cast<size_t>(shape[axis]);
  Weights weights{Tensor::zeros(DType::kI8, shape), std::vector<int64_t>(columns)};
  auto to = weights.numbers.view().as<int8_t>();
  for (size_t i = 0; i < numbers.size(); ++i) {
    size_t column = i / inner % columns;
    int32_t number = numbers[i] - p.zeros[p.zeros.size() == 1 ? 0 : column];
    if (number < -128 || number > 127) return unsupported("weights that, less their zero point, do not fit i8");
    to[i] = static_cast<int8_t>(number);
    weights.sums[column] += number;
  }
  return weights;
}

WeightCache::Packed packed_weights(const NodeRequest& request, const Places& at, const Weights& weights,
                                   const Desc& plain, const Desc& wanted) {
  WeightCache::Packed alone = pack(nullptr, weights.numbers, plain, wanted);
  if (request.weights == nullptr) return alone;
  std::string form("i8 ");
  form.append(reinterpret_cast<const char*>(&wanted.data), sizeof(wanted.data));
  form.append(reinterpret_cast<const char*>(&plain.data), sizeof(plain.data));
  auto fill = [alone = std::move(alone)](std::byte* to) { std::memcpy(to, alone->data(), alone->bytes()); };
  return request.weights->get_or_pack(*request.constants[at.weights], form, wanted.get_size(), std::move(fill));
}

// The node's post-ops in units of the result; the residual's zero point goes into the bias.
Result<FusedOps> fuse_quantized(const NodeRequest& request, Parameters& p) {
  using Kind = graph::PostOp::Kind;
  FusedOps fused;
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind == Kind::kRelu) {
      // Where zero is the least number, storing the result does it.
      bool least = !p.real && p.y_zero == (request.outputs[0].dtype == DType::kU8 ? 0 : -128);
      if (!least) fused.ops.append_eltwise(1.0F, algorithm::eltwise_relu, 0, 0);
    } else if (op.kind == Kind::kClip) {
      fused.ops.append_eltwise(1.0F, algorithm::eltwise_clip, op.alpha / p.y_scale, op.beta / p.y_scale);
    } else if (op.kind == Kind::kAdd && fused.sum_input < 0 && has_input(request, static_cast<size_t>(op.input))) {
      auto input = static_cast<size_t>(op.input);
      if (request.inputs[input].dtype != request.outputs[0].dtype)
        return unsupported("a residual of another type than the result's");
      MOTET_ASSIGN(double scale, constant_scalar(request, input + 1, "scale"));
      MOTET_ASSIGN(double zero, constant_scalar(request, input + 2, "zero point"));
      fused.sum_input = op.input;
      fused.ops.append_sum(static_cast<float>(scale) / p.y_scale);
      for (size_t c = 0; c < p.bias.size(); ++c) {
        float unit = p.multipliers[p.multipliers.size() == 1 ? 0 : c] * p.y_scale;
        p.bias[c] -= static_cast<float>(zero * scale) / unit;
      }
    } else {
      return unsupported("a post-op on quantised numbers other than Relu, Clip and one addition");
    }
  }
  return fused;
}

dnnl::primitive_attr quantized_attributes(const FusedOps& fused, const Parameters& p, int column_mask, bool x_zero) {
  dnnl::primitive_attr attr = attributes(fused.ops);
  attr.set_output_scales(p.multipliers.size() == 1 ? 0 : column_mask, p.multipliers);
  if (x_zero) attr.set_zero_points(DNNL_ARG_SRC, 0, {p.x_zero});
  if (p.y_zero != 0) attr.set_zero_points(DNNL_ARG_DST, 0, {p.y_zero});
  return attr;
}

void add_to_bias(Parameters& p, const Weights& weights) {
  for (size_t c = 0; c < p.bias.size(); ++c)
    p.bias[c] -= static_cast<float>(static_cast<int64_t>(p.x_zero) * weights.sums[c]);
}

Operand bias_operand(PrimitiveKernel& kernel, const std::vector<float>& bias) {
  const size_t bytes = bias.size() * sizeof(float);
  auto fill = [bias](std::byte* to) { std::memcpy(to, bias.data(), bias.size() * sizeof(float)); };
  auto packed = std::make_shared<PackedWeights>(bytes, std::move(fill));
  kernel.keep(packed);
  return Operand::constant(packed);
}

struct Convolution {
  const NodeRequest& request;
  Places at;
  Parameters parameters;
  FusedOps fused;
  Weights weights;
  Desc plain;  // of the weights
  Window window;
  bool native_zero = false;  // the source's zero point is oneDNN's business, since padding means it
  double flops = 0;
};

Result<KernelPtr> build(const Convolution& c, bool channels_last) {
  const NodeRequest& request = c.request;
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  auto side = [&](const TensorSpec& spec) {
    return channels_last ? in_layout(spec.shape, Layout::kNhwc, spec.dtype) : any_layout(spec.shape, spec.dtype);
  };
  Desc bias = row_major({y.shape[1]});
  // What a zero point means in the padding is summed over the weights in a region of its own, after oneDNN has cleared
  // the sums outside of it: a run that goes on in a later slice would clear them and not sum again. One part has no
  // slices.
  const int width = c.native_zero ? 1 : request.max_width;
  auto description = with_width(
      width,
      [&] {
        dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference, algorithm::convolution_direct, side(x),
                                             any_layout(c.plain.dims(), DType::kI8), bias, side(y), c.window.strides,
                                             c.window.dilations, c.window.pad_begin, c.window.pad_end);
        return dnnl::convolution_forward::primitive_desc(
            desc, quantized_attributes(c.fused, c.parameters, 1 << 1, c.native_zero), cpu_engine());
      },
      request.together);
  std::string name = description.impl_info_str();
  // The last resort may be slow: nothing of ours is faster.
  if (channels_last && (is_slow(name) || has_barriers(name))) return unsupported("only oneDNN's own " + name);
  auto from = layout_of(description.src_desc());
  auto to = layout_of(description.dst_desc());
  if (!from || !to) return unsupported("a layout of oneDNN's own");
  int parts = current_parts();
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_name(name);
  kernel->set_flops(c.flops);
  kernel->set_input_layout(0, *from);
  kernel->set_output_layout(0, *to);
  if (c.fused.sum_input >= 0) {
    kernel->require_in_place(c.fused.sum_input);
    kernel->set_input_layout(static_cast<size_t>(c.fused.sum_input), *to);
  }
  auto packed = packed_weights(request, c.at, c.weights, c.plain, description.weights_desc());
  kernel->keep(packed);
  Operand bias_at = bias_operand(*kernel, c.parameters.bias);
  set_parts(parts);
  kernel->add(description, dnnl::convolution_forward(description),
              {{DNNL_ARG_SRC, Operand::input(0), description.src_desc()},
               {DNNL_ARG_WEIGHTS, Operand::constant(packed), description.weights_desc()},
               {DNNL_ARG_BIAS, bias_at, bias},
               {DNNL_ARG_DST, Operand::output(0), description.dst_desc()}});
  set_parts(request.max_width);
  return KernelPtr(std::move(kernel));
}

// The weights [M, C/g, k...] with the groups in front, if there are more than one.
Desc grouped(const Shape& shape, int64_t groups) {
  Dims dims(shape.begin(), shape.end());
  if (groups > 1) {
    dims[0] /= groups;
    dims.insert(dims.begin(), groups);
  }
  return row_major(dims, DType::kI8);
}

struct Product {
  Desc left, plain, destination;
  Dims right;
};

Result<Product> read_product(const NodeRequest& request) {
  const Shape& a = request.inputs[0].shape;
  const Shape& b = request.inputs[3].shape;
  const graph::Node& node = request.node;
  if (a.empty() || b.size() != 2)
    return unsupported("a product of " + shape_to_string(a) + " and " + shape_to_string(b));
  if (node.int_or("transA", 0) != 0 || node.float_or("alpha", 1) != 1)
    return unsupported("transA, or alpha other than 1");
  bool transposed = node.op == "QGemm" && node.int_or("transB", 0) != 0;
  int64_t k = transposed ? b[1] : b[0], n = transposed ? b[0] : b[1];
  Dims rows{elements(a) / k, k};
  Product p;
  p.left = row_major(rows, request.inputs[0].dtype);
  p.right = {k, n};
  p.plain = Desc(p.right, dnnl::memory::data_type::s8, transposed ? Dims{1, k} : Dims{n, 1});
  p.destination = row_major({rows[0], n}, request.outputs[0].dtype);
  return p;
}

}  // namespace

Result<KernelPtr> plan_quantized_convolution(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 8, 12));
  const Shape& in = request.inputs[0].shape;
  const Shape& weights = request.inputs[3].shape;
  if (in.size() != 4 || weights.size() != 4 || elements(in) == 0 || elements(request.outputs[0].shape) == 0)
    return unsupported("convolution of " + shape_to_string(in) + " by " + shape_to_string(weights));
  int64_t groups = request.node.int_or("group", 1);
  if (groups < 1 || weights[0] % groups != 0 || in[1] != weights[1] * groups)
    return unsupported("group " + std::to_string(groups) + " of weights " + shape_to_string(weights));
  Convolution c{.request = request, .at = {.result = 6, .bias = 8}};
  MOTET_ASSIGN(c.parameters, read_parameters(request, c.at, weights[0]));
  MOTET_ASSIGN(c.weights, read_weights(request, c.at, c.parameters, 0));
  MOTET_ASSIGN(c.fused, fuse_quantized(request, c.parameters));
  MOTET_ASSIGN(c.window,
               read_window(request.node, in, request.outputs[0].shape, Dims(weights.begin() + 2, weights.end())));
  c.plain = grouped(weights, groups);
  auto none = [](const Dims& pads) { return std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; }); };
  c.native_zero = c.parameters.x_zero != 0 && !(none(c.window.pad_begin) && none(c.window.pad_end));
  if (!c.native_zero) add_to_bias(c.parameters, c.weights);
  int64_t pixels = elements(request.outputs[0].shape) / weights[0];
  c.flops = 2.0 * static_cast<double>(pixels) * static_cast<double>(elements(weights));
  auto kernel = guarded([&] { return build(c, true); });
  return kernel.ok() ? std::move(kernel) : guarded([&] { return build(c, false); });
}

Result<KernelPtr> plan_quantized_product(const NodeRequest& request) {
  bool gemm = request.node.op == "QGemm";
  MOTET_RETURN_IF_ERROR(expect_inputs(request, gemm ? 6 : 8, gemm ? 9 : 8));
  if (elements(request.inputs[0].shape) == 0 || elements(request.outputs[0].shape) == 0)
    return unsupported("an empty product");
  MOTET_ASSIGN(Product p, read_product(request));
  Places at{.result = gemm ? size_t{7} : size_t{6}, .bias = gemm ? size_t{6} : SIZE_MAX};
  size_t axis = gemm && request.node.int_or("transB", 0) != 0 ? 0 : 1;
  MOTET_ASSIGN(Parameters parameters, read_parameters(request, at, p.right[1]));
  MOTET_ASSIGN(Weights weights, read_weights(request, at, parameters, axis));
  MOTET_ASSIGN(FusedOps fused, fuse_quantized(request, parameters));
  if (fused.sum_input >= 0) return unsupported("a residual after a quantised product");
  add_to_bias(parameters, weights);
  return guarded([&]() -> Result<KernelPtr> {
    Desc bias = row_major({1, p.right[1]});
    auto description = with_width(
        request.max_width,
        [&] {
          dnnl::matmul::desc desc(p.left, any_layout(p.right, DType::kI8), bias, p.destination);
          return dnnl::matmul::primitive_desc(desc, quantized_attributes(fused, parameters, 1 << 1, false),
                                              cpu_engine());
        },
        request.together);
    int parts = current_parts();
    auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
    kernel->set_flops(2.0 * static_cast<double>(p.left.dims()[0]) * static_cast<double>(p.right[0] * p.right[1]));
    auto packed = packed_weights(request, at, weights, p.plain, description.weights_desc());
    kernel->keep(packed);
    Operand bias_at = bias_operand(*kernel, parameters.bias);
    set_parts(parts);
    kernel->add(description, dnnl::matmul(description),
                {{DNNL_ARG_SRC, Operand::input(0), p.left},
                 {DNNL_ARG_WEIGHTS, Operand::constant(packed), description.weights_desc()},
                 {DNNL_ARG_BIAS, bias_at, bias},
                 {DNNL_ARG_DST, Operand::output(0), p.destination}});
    set_parts(request.max_width);
    return KernelPtr(std::move(kernel));
  });
}

}  // namespace motet::ops::onednn
