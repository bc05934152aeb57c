// Conv and ConvTranspose. A 4-D convolution takes the program's preferred layout; anything that has no kernel there,
// and 3-D and 5-D ones, let oneDNN choose and copy in and out of its choice.
#include <algorithm>
#include <array>
#include <cmath>

#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

struct Problem {
  const NodeRequest& request;
  Dims source, weights, destination;  // weights with the group dimension in front if groups > 1
  Desc weights_plain;
  int64_t groups = 1;
  Window window;
  bool bias = false;
  double flops = 0;
  DType from = DType::kF32, to = DType::kF32;  // of source and destination; weights are as the source

  Desc bias_desc() const {
    return bias ? Desc({destination[1]}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::x) : Desc();
  }
};

bool bias_given(const NodeRequest& request) { return request.inputs.size() > 2 && request.present[2]; }

// ConvTranspose's weights are [C, M/group, k...]; oneDNN's deconvolution wants [g, M/g, C/g, k...]: the same memory
// seen through other strides.
Desc plain_weights(const Shape& shape, int64_t groups, bool transposed, DType dtype) {
  Dims dims(shape.begin(), shape.end());
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  int64_t group_stride = dims[0] / groups * strides[0];
  dims[0] /= groups;
  if (transposed) {
    std::swap(dims[0], dims[1]);
    std::swap(strides[0], strides[1]);
  }
  if (groups > 1) {
    dims.insert(dims.begin(), groups);
    strides.insert(strides.begin(), group_stride);
  }
  return {dims, type_of(dtype), strides};
}

// A convolution along the height of pictures one pixel wide is the same memory along the width of pictures one pixel
// high, where oneDNN's kernels have something to vectorise over.
void lay_column_flat(Problem& p, Shape& weights) {
  bool column = p.source.size() == 4 && p.source[3] == 1 && p.destination[3] == 1 && weights[3] == 1 &&
                p.window.pad_begin[1] == 0 && p.window.pad_end[1] == 0;
  if (!column) return;
  for (Dims* dims : {&p.source, &p.destination, &weights}) std::swap((*dims)[2], (*dims)[3]);
  Window& w = p.window;
  for (Dims* dims : {&w.kernel, &w.strides, &w.dilations, &w.pad_begin, &w.pad_end}) std::swap((*dims)[0], (*dims)[1]);
}

Result<Problem> read_problem(const NodeRequest& request, bool transposed) {
  if (auto error = refuse_unless_float(request)) return *error;
  const Shape& in = request.inputs[0].shape;
  Shape weights = request.inputs[1].shape;
  const Shape& out = request.outputs[0].shape;
  if (in.size() < 3 || in.size() > 5) return unsupported("convolution of rank " + std::to_string(in.size()));
  Problem p{.request = request, .source = in, .destination = out};
  p.groups = request.node.int_or("group", 1);
  if (p.groups < 1 || weights.size() != in.size() || weights[0] % p.groups != 0 || in[1] % p.groups != 0)
    return unsupported("group " + std::to_string(p.groups) + " of weights " + shape_to_string(weights));
  Dims kernel(weights.begin() + 2, weights.end());
  if (transposed) {
    // The window of a transposed convolution slides over the output.
    MOTET_ASSIGN(p.window, read_window(request.node, out, in, kernel));
  } else {
    MOTET_ASSIGN(p.window, read_window(request.node, in, out, kernel));
  }
  lay_column_flat(p, weights);
  p.from = request.inputs[0].dtype;
  p.to = request.outputs[0].dtype;
  p.weights_plain = plain_weights(weights, p.groups, transposed, request.inputs[1].dtype);
  p.weights = p.weights_plain.dims();
  p.bias = bias_given(request);
  if (p.bias && request.inputs[2].dtype != DType::kF32) return unsupported("a bias of another type than FP32");
  int64_t slides = elements(transposed ? in : out) / (transposed ? in[1] : out[1]);
  p.flops = 2.0 * static_cast<double>(slides) * static_cast<double>(elements(weights));
  return p;
}

// What a choice of layouts asks for.
struct Choice {
  Desc source, destination;
  bool fused = true;      // post-ops inside the primitive
  bool anything = false;  // the last resort: even a classic gemm will do
  bool winograd = false;
};

dnnl::convolution_forward::primitive_desc describe_forward(const Problem& p, const Choice& choice,
                                                           const dnnl::primitive_attr& attr) {
  auto method = choice.winograd ? dnnl::algorithm::convolution_winograd : dnnl::algorithm::convolution_direct;
  dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference, method, choice.source,
                                       any_layout(p.weights, p.from), p.bias_desc(), choice.destination,
                                       p.window.strides, p.window.dilations, p.window.pad_begin, p.window.pad_end);
  dnnl::convolution_forward::primitive_desc description(desc, attr, cpu_engine());
  if (!choice.winograd || current_parts() == 1) return description;
  // Of its Winograd kernels oneDNN gives up the one for large tiles in many parts, which is up to a half faster: what
  // it picks for one part is taken for many. next_impl() reads `desc` and `attr`, which must still be there.
  std::string wanted;
  {
    PartsScope one(1);
    wanted = dnnl::convolution_forward::primitive_desc(desc, attr, cpu_engine()).impl_info_str();
  }
  while (description.impl_info_str() != wanted)
    if (!description.next_impl()) return {desc, attr, cpu_engine()};
  return description;
}

dnnl::deconvolution_forward::primitive_desc describe_transposed(const Problem& p, const Choice& choice,
                                                                const dnnl::primitive_attr& attr) {
  dnnl::deconvolution_forward::desc desc(dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
                                         choice.source, any_layout(p.weights, p.from), p.bias_desc(),
                                         choice.destination, p.window.strides, p.window.dilations, p.window.pad_begin,
                                         p.window.pad_end);
  return {desc, attr, cpu_engine()};
}

// Where an operand is in the layout `wanted`: itself if the compiler can deliver it so, else a copy in scratch.
Operand source_operand(PrimitiveKernel& kernel, const Problem& p, const Desc& wanted) {
  if (auto layout = layout_of(wanted)) {
    kernel.set_input_layout(0, *layout);
    return Operand::input(0);
  }
  Operand copy = kernel.reserve(wanted.get_size());
  kernel.add_reorder(row_major(p.source, p.from), Operand::input(0), wanted, copy);
  return copy;
}

Operand weights_operand(PrimitiveKernel& kernel, const Problem& p, const Desc& wanted) {
  const Tensor* constant = p.request.constants[1];
  if (constant != nullptr) {
    WeightCache::Packed packed = pack(p.request.weights, *constant, p.weights_plain, wanted);
    kernel.keep(packed);
    return Operand::constant(packed);
  }
  if (wanted == p.weights_plain) return Operand::input(1);
  Operand copy = kernel.reserve(wanted.get_size());
  kernel.add_reorder(p.weights_plain, Operand::input(1), wanted, copy);
  return copy;
}

// The kernel for one choice of layouts, or why not.
template <class Primitive, class Describe>
Result<KernelPtr> build(const Problem& p, const Choice& choice, Describe describe_op) {
  const NodeRequest& request = p.request;
  FusedOps fused;
  if (choice.fused) {
    MOTET_ASSIGN(fused, fuse(request.node.post_ops));
  }
  auto description =
      with_width(request.max_width, [&] { return describe_op(p, choice, attributes(fused.ops)); }, request.together);
  std::string name = description.impl_info_str();
  if (is_slow(name) || (!choice.anything && has_barriers(name))) return unsupported("only oneDNN's own " + name);

  const int parts = current_parts();
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_name(name);
  kernel->set_flops(p.flops);
  Desc destination = description.dst_desc();
  auto layout = layout_of(destination);
  if (!layout && fused.sum_input >= 0) return unsupported("a residual in a layout of oneDNN's own");
  Operand result = layout ? Operand::output(0) : kernel->reserve(destination.get_size());
  if (layout) kernel->set_output_layout(0, *layout);
  if (fused.sum_input >= 0) {
    if (request.inputs[static_cast<size_t>(fused.sum_input)].dtype != p.to)
      return unsupported("a residual of another type than the result's");
    kernel->require_in_place(fused.sum_input);
    kernel->set_input_layout(static_cast<size_t>(fused.sum_input), *layout);
  }
  Desc wanted_source = description.src_desc();
  Operand source = source_operand(*kernel, p, wanted_source);
  Operand weights = weights_operand(*kernel, p, description.weights_desc());
  set_parts(parts);
  std::vector<Binding> bindings = {{DNNL_ARG_SRC, source, wanted_source},
                                   {DNNL_ARG_WEIGHTS, weights, description.weights_desc()},
                                   {DNNL_ARG_DST, result, destination}};
  if (p.bias) bindings.push_back({DNNL_ARG_BIAS, Operand::input(2), description.bias_desc()});
  kernel->template add_unfinished<Primitive>(description, std::move(bindings));
  set_parts(request.max_width);
  if (!layout) kernel->add_reorder(destination, result, row_major(p.destination, p.to), Operand::output(0));
  if (!choice.fused) {
    Desc visible = layout ? destination : row_major(p.destination, p.to);
    MOTET_RETURN_IF_ERROR(append_separately(*kernel, request, visible));
  }
  return KernelPtr(std::move(kernel));
}

// Choices in order of expected speed.
std::vector<Choice> choices(const Problem& p, bool transposed) {
  std::vector<Choice> list;
  Layout preferred = p.request.preferred;
  if (p.request.winograd && !transposed && p.source.size() == 4 && preferred == Layout::kNChw16c) {
    for (bool fused : {true, false})
      list.push_back({.source = in_layout(p.source, preferred, p.from),
                      .destination = in_layout(p.destination, preferred, p.to),
                      .fused = fused,
                      .winograd = true});
  }
  auto add = [&](const Desc& source, const Desc& destination, bool anything = false) {
    list.push_back({source, destination, true, anything});
    if (!p.request.node.post_ops.empty()) list.push_back({source, destination, false, anything});
  };
  if (p.source.size() == 4 && preferred != Layout::kRowMajor) {
    // A first convolution reads the picture as it came: oneDNN has kernels for up to three channels of row-major input.
    bool first = p.groups == 1 && p.source[1] <= 3 && p.request.inputs[0].layout == Layout::kRowMajor;
    Desc destination = in_layout(p.destination, preferred, p.to);
    if (first && preferred != Layout::kNhwc) add(row_major(p.source, p.from), destination);
    add(in_layout(p.source, preferred, p.from), destination);
  }
  add(any_layout(p.source, p.from), any_layout(p.destination, p.to), true);
  return list;
}

template <class Primitive, class Describe>
Result<KernelPtr> plan_any(const NodeRequest& request, bool transposed, Describe describe_op) {
  MOTET_ASSIGN(Problem problem, read_problem(request, transposed));
  std::vector<Choice> list = choices(problem, transposed);
  Error last = unsupported("no choice of layouts");
  for (const Choice& choice : list) {
    Result<KernelPtr> kernel = guarded([&] { return build<Primitive>(problem, choice, describe_op); });
    if (kernel.ok()) return kernel;
    last = kernel.error();
  }
  return last;
}

}  // namespace

Result<KernelPtr> plan_convolution(const NodeRequest& request) {
  return plan_any<dnnl::convolution_forward>(request, false, describe_forward);
}

Result<KernelPtr> plan_deconvolution(const NodeRequest& request) {
  // output_padding and output_shape are already in the output's extents, which read_window starts from.
  return plan_any<dnnl::deconvolution_forward>(request, true, describe_transposed);
}

}  // namespace motet::ops::onednn
