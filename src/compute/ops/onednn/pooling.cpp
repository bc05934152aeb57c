// Max and average pooling, windowed and global, in whatever layout the input has.
#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

Result<KernelPtr> build(const NodeRequest& request, algorithm kind, const Window& window, Layout layout) {
  const Shape& in = request.inputs[0].shape;
  Desc source = in_layout(in, layout, request.inputs[0].dtype);
  Desc destination = in_layout(request.outputs[0].shape, layout, request.outputs[0].dtype);
  MOTET_ASSIGN(FusedOps fused, fuse(request.node.post_ops));
  if (fused.sum_input >= 0) return unsupported("a residual after pooling");
  auto description = with_width(request.max_width, [&] {
    dnnl::pooling_v2_forward::desc desc(dnnl::prop_kind::forward_inference, kind, source, destination, window.strides,
                                        window.kernel, window.dilations, window.pad_begin, window.pad_end);
    return dnnl::pooling_v2_forward::primitive_desc(desc, attributes(fused.ops), cpu_engine());
  });
  if (is_slow(description.impl_info_str()))
    return unsupported("only oneDNN's own " + std::string(description.impl_info_str()));
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_input_layout(0, layout);
  kernel->set_output_layout(0, layout);
  double taps = 1;
  for (int64_t k : window.kernel) taps *= static_cast<double>(k);
  kernel->set_flops(taps * static_cast<double>(elements(request.outputs[0].shape)));
  kernel->add(description, dnnl::pooling_v2_forward(description),
              {{DNNL_ARG_SRC, Operand::input(0), source}, {DNNL_ARG_DST, Operand::output(0), destination}});
  return KernelPtr(std::move(kernel));
}

}  // namespace

Result<KernelPtr> plan_pooling(const NodeRequest& request) {
  const bool bytes = request.inputs[0].dtype == DType::kU8 || request.inputs[0].dtype == DType::kI8;
  if (bytes && (request.node.op != "MaxPool" || request.outputs[0].dtype != request.inputs[0].dtype))
    return unsupported(request.node.op + " of type " + std::string(dtype_kserve_name(request.inputs[0].dtype)));
  if (!bytes)
    if (auto error = refuse_unless_float(request)) return *error;
  const graph::Node& node = request.node;
  const Shape& in = request.inputs[0].shape;
  if (in.size() < 3 || in.size() > 5) return unsupported("pooling of rank " + std::to_string(in.size()));
  if (node.outputs.size() > 1 && node.outputs[1] != graph::kNoValue) return unsupported("the Indices output");
  bool global = node.op.starts_with("Global");
  bool max = node.op.ends_with("MaxPool");
  bool include = node.int_or("count_include_pad", 0) != 0;
  Window window;
  if (global) {
    size_t rank = in.size() - 2;
    window = {Dims(in.begin() + 2, in.end()), Dims(rank, 1), Dims(rank, 0), Dims(rank, 0), Dims(rank, 0)};
  } else {
    MOTET_ASSIGN(window, read_window(node, in, request.outputs[0].shape, {}));
    if (include && node.int_or("ceil_mode", 0) != 0) return unsupported("count_include_pad with ceil_mode");
  }
  algorithm kind = max       ? algorithm::pooling_max
                   : include ? algorithm::pooling_avg_include_padding
                             : algorithm::pooling_avg_exclude_padding;
  Layout given = request.inputs[0].layout;
  auto kernel = guarded([&] { return build(request, kind, window, given); });
  if (kernel.ok() || in.size() != 4) return kernel;
  for (Layout layout : {request.preferred, Layout::kRowMajor}) {
    if (layout == given) continue;
    auto other = guarded([&] { return build(request, kind, window, layout); });
    if (other.ok()) return other;
  }
  return kernel;
}

}  // namespace motet::ops::onednn
