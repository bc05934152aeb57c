// QLinearConv, QLinearMatMul and QGemm with constant parameters: u8 or i8 times i8, summed in int32, and rounded once
// when the result is stored. Zero points of the left-hand side go into the bias: a picture is padded with them
// beforehand. Convolutions lie channels last, where oneDNN's int8 kernels are at home.
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

dnnl::primitive_attr quantized_attributes(const FusedOps& fused, const Parameters& p, int column_mask) {
  dnnl::primitive_attr attr = attributes(fused.ops);
  attr.set_output_scales(p.multipliers.size() == 1 ? 0 : column_mask, p.multipliers);
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
  auto description = with_width(
      request.max_width,
      [&] {
        dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference, algorithm::convolution_direct, side(x),
                                             any_layout(c.plain.dims(), DType::kI8), bias, side(y), c.window.strides,
                                             c.window.dilations, c.window.pad_begin, c.window.pad_end);
        return dnnl::convolution_forward::primitive_desc(desc, quantized_attributes(c.fused, c.parameters, 1 << 1),
                                                         cpu_engine());
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

// A convolution without padding, of a picture that is padded with a number first.
class Padded final : public Kernel {
 public:
  // `given` and `padded`: one byte an element, before and after. REQUIRES: the kernel was planned for `padded`.
  Padded(KernelPtr kernel, const TensorSpec& given, TensorSpec padded, int64_t top, int64_t left, std::byte number)
      : kernel_(std::move(kernel)), padded_(std::move(padded)), number_(number) {
    padded_.layout = kernel_->input_layout(0);
    const Shape &in = given.shape, &out = padded_.shape;
    const int64_t block = padded_.layout == Layout::kNChw16c  ? 16
                          : padded_.layout == Layout::kNChw8c ? 8
                          : padded_.layout == Layout::kNhwc   ? in[1]
                                                              : 1;
    planes_ = in[0] * ((in[1] + block - 1) / block);
    rows_ = in[2];
    row_ = in[3] * block;
    padded_rows_ = out[2];
    padded_row_ = out[3] * block;
    top_ = top;
    left_ = left * block;
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    if (team.begin_stage()) {
      constexpr int64_t kBytesOfPart = 65536;
      team.for_range(planes_ * padded_rows_, kBytesOfPart / padded_row_ + 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) pad_row(args, row);
      });
    }
    std::vector<TensorView> inputs(args.inputs.begin(), args.inputs.end());
    inputs[0] = {padded_.dtype, padded_.shape, args.scratch};
    KernelArgs inner = args;
    inner.inputs = inputs;
    inner.scratch = args.scratch + padded_bytes();
    kernel_->run(inner, team);
  }
  Status finish() const override { return kernel_->finish(); }
  bool reads(size_t input) const override { return kernel_->reads(input); }
  std::string implementation() const override { return kernel_->implementation() + ", padded first"; }
  Layout input_layout(size_t input) const override { return kernel_->input_layout(input); }
  Layout output_layout(size_t output) const override { return kernel_->output_layout(output); }
  size_t scratch_bytes() const override { return padded_bytes() + kernel_->scratch_bytes(); }
  int output_in_place_of(size_t output) const override { return kernel_->output_in_place_of(output); }
  bool must_be_in_place() const override { return kernel_->must_be_in_place(); }
  size_t packed_bytes() const override { return kernel_->packed_bytes(); }
  double flops() const override { return kernel_->flops(); }

 private:
  size_t padded_bytes() const { return (padded_.bytes() + 63) / 64 * 64; }

  void pad_row(const KernelArgs& args, int64_t row) const {
    std::byte* to = args.scratch + row * padded_row_;
    const int64_t plane = row / padded_rows_, from = row % padded_rows_ - top_;
    if (from < 0 || from >= rows_) {
      std::fill_n(to, padded_row_, number_);
      return;
    }
    std::fill_n(to, left_, number_);
    std::copy_n(args.inputs[0].data + (plane * rows_ + from) * row_, row_, to + left_);
    std::fill_n(to + left_ + row_, padded_row_ - left_ - row_, number_);
  }

  const KernelPtr kernel_;
  TensorSpec padded_;
  const std::byte number_;
  int64_t planes_ = 0, rows_ = 0, row_ = 0;  // rows of bytes
  int64_t padded_rows_ = 0, padded_row_ = 0;
  int64_t top_ = 0, left_ = 0;  // rows and bytes before the picture
};

// The node on a picture padded with the zero point, which is what padding means.
Result<KernelPtr> plan_padded(const NodeRequest& request, const Window& window, int32_t zero) {
  graph::Node node = request.node;
  node.attributes.erase("pads");
  node.attributes.erase("auto_pad");
  std::vector<TensorSpec> inputs(request.inputs.begin(), request.inputs.end());
  for (size_t d = 0; d < 2; ++d)
    inputs[0].shape[d + 2] += window.pad_begin[d] + std::max<int64_t>(0, window.pad_end[d]);
  NodeRequest inner{.node = node,
                    .inputs = inputs,
                    .present = request.present,
                    .constants = request.constants,
                    .outputs = request.outputs,
                    .preferred = request.preferred,
                    .max_width = request.max_width,
                    .weights = request.weights,
                    .choices = request.choices,
                    .lowered = request.lowered,
                    .cores = request.cores,
                    .together = request.together};
  MOTET_ASSIGN(KernelPtr kernel, plan_quantized_convolution(inner));
  return KernelPtr(std::make_unique<Padded>(std::move(kernel), request.inputs[0], inputs[0], window.pad_begin[0],
                                            window.pad_begin[1], static_cast<std::byte>(zero)));
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
  if (c.parameters.x_zero != 0 && !(none(c.window.pad_begin) && none(c.window.pad_end)))
    return plan_padded(request, c.window, c.parameters.x_zero);
  add_to_bias(c.parameters, c.weights);
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
          return dnnl::matmul::primitive_desc(desc, quantized_attributes(fused, parameters, 1 << 1), cpu_engine());
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
