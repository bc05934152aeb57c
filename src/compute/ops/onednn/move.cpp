// Ops that move elements: reorder between layouts, Transpose, Concat, Resize.
#include <algorithm>
#include <cmath>

#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

// Elements of four bytes may travel as f32, of one byte as u8: a copy keeps their bits.
std::optional<TensorSpec> as_movable(TensorSpec spec) {
  if (spec.dtype == DType::kI32 || spec.dtype == DType::kU32) spec.dtype = DType::kI32;
  if (spec.dtype == DType::kBool || spec.dtype == DType::kI8) spec.dtype = DType::kU8;
  if (spec.dtype != DType::kF32 && spec.dtype != DType::kI32 && spec.dtype != DType::kU8) return std::nullopt;
  return spec;
}

Result<KernelPtr> build_concat(const NodeRequest& request, int axis, Layout layout) {
  std::vector<Desc> sources;
  for (const TensorSpec& input : request.inputs) sources.push_back(in_layout(input.shape, layout));
  Desc destination = in_layout(request.outputs[0].shape, layout);
  auto description = with_width(request.max_width, [&] {
    return dnnl::concat::primitive_desc(destination, axis, sources, cpu_engine(), attributes());
  });
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  std::vector<Binding> bindings = {{DNNL_ARG_DST, Operand::output(0), destination}};
  for (size_t i = 0; i < sources.size(); ++i) {
    kernel->set_input_layout(i, layout);
    bindings.push_back({DNNL_ARG_MULTIPLE_SRC + static_cast<int>(i), Operand::input(i), sources[i]});
  }
  kernel->set_output_layout(0, layout);
  kernel->add(description, dnnl::concat(description), std::move(bindings));
  return KernelPtr(std::move(kernel));
}

// The layout in which a concatenation along channels needs no more than copies of whole blocks.
Layout concat_layout(const NodeRequest& request, int axis) {
  if (request.outputs[0].shape.size() != 4) return Layout::kRowMajor;
  for (const TensorSpec& input : request.inputs) {
    if (input.layout == Layout::kRowMajor) continue;
    int64_t block = input.layout == Layout::kNChw16c ? 16 : input.layout == Layout::kNChw8c ? 8 : 1;
    bool whole = std::all_of(request.inputs.begin(), request.inputs.end(),
                             [&](const TensorSpec& s) { return axis != 1 || s.shape[1] % block == 0; });
    if (whole) return input.layout;
  }
  return Layout::kRowMajor;
}

// Which input index each output index of one dimension reads, as ONNX's nearest Resize counts; nothing where its modes
// do something oneDNN's formula cannot.
std::vector<int64_t> nearest_map(const graph::Node& node, int64_t in, int64_t out, double scale) {
  std::string mode =
      node.string_or("coordinate_transformation_mode", node.op == "Upsample" ? "asymmetric" : "half_pixel");
  std::string rounding = node.string_or("nearest_mode", node.op == "Upsample" ? "floor" : "round_prefer_floor");
  std::vector<int64_t> map;
  for (int64_t o = 0; o < out; ++o) {
    auto x = static_cast<double>(o);
    double source = 0;
    if (mode == "asymmetric")
      source = x / scale;
    else if (mode == "half_pixel" || (mode == "pytorch_half_pixel" && out > 1))
      source = (x + 0.5) / scale - 0.5;
    else if (mode == "align_corners" && out > 1)
      source = x * static_cast<double>(in - 1) / static_cast<double>(out - 1);
    else
      return {};
    double index = 0;
    if (rounding == "floor")
      index = std::floor(source);
    else if (rounding == "ceil")
      index = std::ceil(source);
    else if (rounding == "round_prefer_ceil")
      index = std::floor(source + 0.5);
    else
      index = std::ceil(source - 0.5);
    map.push_back(std::clamp(static_cast<int64_t>(index), int64_t{0}, in - 1));
  }
  return map;
}

// The same as oneDNN does it.
std::vector<int64_t> onednn_map(int64_t in, int64_t out) {
  std::vector<int64_t> map;
  for (int64_t o = 0; o < out; ++o) {
    float source = (static_cast<float>(o) + 0.5F) * static_cast<float>(in) / static_cast<float>(out) - 0.5F;
    map.push_back(std::clamp(static_cast<int64_t>(std::round(source)), int64_t{0}, in - 1));
  }
  return map;
}

Result<algorithm> resampling_kind(const NodeRequest& request) {
  const graph::Node& node = request.node;
  const Shape& in = request.inputs[0].shape;
  const Shape& out = request.outputs[0].shape;
  if (in.size() < 3 || in.size() > 5 || in[0] != out[0] || in[1] != out[1])
    return unsupported("resizing of " + shape_to_string(in) + " to " + shape_to_string(out));
  if (node.find("axes") != nullptr || node.int_or("antialias", 0) != 0 || node.int_or("exclude_outside", 0) != 0 ||
      node.string_or("keep_aspect_ratio_policy", "stretch") != "stretch")
    return unsupported("axes, antialias, exclude_outside or keep_aspect_ratio_policy");
  std::string mode = node.string_or("mode", "nearest");
  // Only where the factor is the ratio of the extents do the formulas agree.
  size_t scales_input = node.op == "Upsample" ? 1 : node.opset >= 11 ? 2 : 1;
  std::span<const float> scales;
  if (request.inputs.size() > scales_input && request.constants[scales_input] != nullptr)
    scales = request.constants[scales_input]->view().as<float>();
  for (size_t i = 2; i < in.size(); ++i) {
    double scale = static_cast<double>(out[i]) / static_cast<double>(in[i]);
    if (scales.size() == in.size() && std::abs(static_cast<double>(scales[i]) - scale) > 1e-6 * scale)
      return unsupported("a scale that the extents do not show exactly");
    if (mode == "nearest" && nearest_map(node, in[i], out[i], scale) != onednn_map(in[i], out[i]))
      return unsupported("its rounding of coordinates");
  }
  if (mode == "nearest") return algorithm::resampling_nearest;
  bool half = node.string_or("coordinate_transformation_mode", "half_pixel") == "half_pixel" && node.op == "Resize" &&
              node.opset >= 11;
  if (mode == "linear" && half) return algorithm::resampling_linear;
  return unsupported("mode " + mode + " with these coordinates");
}

Result<KernelPtr> build_resampling(const NodeRequest& request, algorithm kind, Layout layout) {
  Desc source = in_layout(request.inputs[0].shape, layout);
  Desc destination = in_layout(request.outputs[0].shape, layout);
  auto description = with_width(request.max_width, [&] {
    dnnl::resampling_forward::desc desc(dnnl::prop_kind::forward_inference, kind, source, destination);
    return dnnl::resampling_forward::primitive_desc(desc, attributes(), cpu_engine());
  });
  if (is_slow(description.impl_info_str()))
    return unsupported("only oneDNN's own " + std::string(description.impl_info_str()));
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_input_layout(0, layout);
  kernel->set_output_layout(0, layout);
  kernel->add(description, dnnl::resampling_forward(description),
              {{DNNL_ARG_SRC, Operand::input(0), source}, {DNNL_ARG_DST, Operand::output(0), destination}});
  return KernelPtr(std::move(kernel));
}

}  // namespace

Result<KernelPtr> plan_concat(const NodeRequest& request) {
  if (auto error = refuse_unless_f32(request)) return *error;
  if (!request.node.post_ops.empty()) return unsupported("post-ops after Concat");
  auto rank = static_cast<int64_t>(request.outputs[0].shape.size());
  int64_t axis = request.node.int_or("axis", 1);
  if (axis < 0) axis += rank;
  if (rank == 0 || axis < 0 || axis >= rank) return unsupported("axis " + std::to_string(axis));
  for (bool present : request.present)
    if (!present) return unsupported("an absent input");
  return guarded(
      [&] { return build_concat(request, static_cast<int>(axis), concat_layout(request, static_cast<int>(axis))); });
}

Result<KernelPtr> plan_resampling(const NodeRequest& request) {
  if (request.inputs[0].dtype != DType::kF32 || elements(request.outputs[0].shape) == 0 ||
      elements(request.inputs[0].shape) == 0)
    return unsupported("a type other than FP32, or an empty tensor");
  if (!request.node.post_ops.empty()) return unsupported("post-ops after Resize");
  MOTET_ASSIGN(algorithm kind, resampling_kind(request));
  Layout given = request.inputs[0].layout;
  auto kernel = guarded([&] { return build_resampling(request, kind, given); });
  if (kernel.ok() || given == Layout::kRowMajor) return kernel;
  return guarded([&] { return build_resampling(request, kind, Layout::kRowMajor); });
}

Result<KernelPtr> plan_transpose(const NodeRequest& request) {
  auto input = as_movable(request.inputs[0]);
  if (!input) return unsupported("type " + std::string(dtype_kserve_name(request.inputs[0].dtype)));
  const Shape& in = input->shape;
  size_t rank = in.size();
  if (rank < 2 || rank > DNNL_MAX_NDIMS || elements(in) == 0) return unsupported("shape " + shape_to_string(in));
  if (!request.node.post_ops.empty()) return unsupported("post-ops after Transpose");
  std::vector<int64_t> order = request.node.ints_or("perm", {});
  if (order.empty())
    for (size_t i = rank; i-- > 0;) order.push_back(static_cast<int64_t>(i));
  // The output, told in the input's order of dimensions.
  Dims strides(rank);
  int64_t stride = 1;
  for (size_t i = rank; i-- > 0;) {
    auto axis = static_cast<size_t>(order[i]);
    strides[axis] = stride;
    stride *= in[axis];
  }
  return guarded([&]() -> Result<KernelPtr> {
    Desc source = *describe(*input);
    Desc destination(in, source.data_type(), strides);
    auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
    set_parts(request.max_width);
    kernel->set_input_layout(0, input->layout);
    kernel->add_reorder(source, Operand::input(0), destination, Operand::output(0));
    if (is_slow(kernel->implementation())) return unsupported("only oneDNN's own " + kernel->implementation());
    return KernelPtr(std::move(kernel));
  });
}

Result<KernelPtr> plan_reorder(const TensorSpec& from, const TensorSpec& to, int parts) {
  auto source = describe(from);
  auto destination = describe(to);
  if (!source || !destination || from.shape != to.shape || from.dtype != to.dtype)
    return unsupported("a copy between " + shape_to_string(from.shape) + " and " + shape_to_string(to.shape));
  return guarded([&]() -> Result<KernelPtr> {
    set_parts(parts);
    auto kernel = std::make_unique<PrimitiveKernel>(1, 1);
    kernel->set_input_layout(0, from.layout);
    kernel->set_output_layout(0, to.layout);
    kernel->add_reorder(*source, Operand::input(0), *destination, Operand::output(0));
    return KernelPtr(std::move(kernel));
  });
}

}  // namespace motet::ops::onednn
