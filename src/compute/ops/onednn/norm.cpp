// Softmax, normalisations and reductions.
#include <algorithm>
#include <cmath>
#include <set>

#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;
using dnnl::prop_kind;

std::unique_ptr<PrimitiveKernel> one_to_one(const NodeRequest& request, Layout layout) {
  auto kernel = std::make_unique<PrimitiveKernel>(request.inputs.size(), request.outputs.size());
  kernel->set_input_layout(0, layout);
  kernel->set_output_layout(0, layout);
  return kernel;
}

std::optional<Error> refuse_slow(const char* implementation) {
  if (is_slow(implementation)) return unsupported(std::string("only oneDNN's own ") + implementation);
  return std::nullopt;
}

std::optional<Error> refuse_post_ops(const NodeRequest& request) {
  if (request.node.post_ops.empty()) return std::nullopt;
  return unsupported("post-ops after " + request.node.op);
}

bool has_output(const NodeRequest& request, size_t i) {
  return request.node.outputs.size() > i && request.node.outputs[i] != graph::kNoValue;
}

// Per-channel constants side by side, as scale and shift want them; the node's inputs 1 and 2.
Binding vector_input(int argument, size_t input, int64_t channels) {
  return {argument, Operand::input(input), row_major({channels})};
}

}  // namespace

Result<KernelPtr> plan_softmax(const NodeRequest& request) {
  if (auto error = refuse_unless_float(request)) return *error;
  DType dtype = request.inputs[0].dtype;
  if (request.outputs[0].dtype != dtype) return unsupported("a result of another type than the input's");
  if (auto error = refuse_post_ops(request)) return *error;
  Dims dims = request.inputs[0].shape;
  if (dims.empty()) return unsupported("a scalar");
  auto rank = static_cast<int64_t>(dims.size());
  bool flatten = request.node.opset < 13;  // before opset 13 everything from the axis on was one dimension
  int64_t axis = request.node.int_or("axis", flatten ? 1 : -1);
  if (axis < 0) axis += rank;
  if (axis < 0 || axis > rank || (axis == rank && !flatten)) return unsupported("axis " + std::to_string(axis));
  int64_t outer = elements(std::span(dims).first(static_cast<size_t>(axis)));
  int64_t length = flatten ? elements(dims) / outer : dims[static_cast<size_t>(axis)];
  int64_t inner = elements(dims) / outer / length;
  Desc desc = inner == 1 ? row_major({outer, length}, dtype) : row_major({outer, length, inner}, dtype);
  return guarded([&]() -> Result<KernelPtr> {
    algorithm kind = request.node.op == "LogSoftmax" ? algorithm::softmax_log : algorithm::softmax_accurate;
    auto description = with_width(request.max_width, [&] {
      dnnl::softmax_v2_forward::desc d(prop_kind::forward_inference, kind, desc, desc, 1);
      return dnnl::softmax_v2_forward::primitive_desc(d, attributes(), cpu_engine());
    });
    if (auto error = refuse_slow(description.impl_info_str())) return *error;
    auto kernel = one_to_one(request, Layout::kRowMajor);
    kernel->allow_in_place(0);
    kernel->set_flops(4.0 * static_cast<double>(elements(dims)));
    kernel->add(description, dnnl::softmax_v2_forward(description),
                {{DNNL_ARG_SRC, Operand::input(0), desc}, {DNNL_ARG_DST, Operand::output(0), desc}});
    return KernelPtr(std::move(kernel));
  });
}

Result<KernelPtr> plan_lrn(const NodeRequest& request) {
  if (auto error = refuse_unless_f32(request)) return *error;
  if (auto error = refuse_post_ops(request)) return *error;
  int64_t size = request.node.int_or("size", 0);
  if (request.inputs[0].shape.size() != 4 || size < 1 || size % 2 == 0)
    return unsupported("LRN of size " + std::to_string(size) + " over " + shape_to_string(request.inputs[0].shape));
  auto build = [&](Layout layout) {
    return guarded([&]() -> Result<KernelPtr> {
      Desc desc = in_layout(request.inputs[0].shape, layout);
      auto description = with_width(request.max_width, [&] {
        dnnl::lrn_forward::desc d(prop_kind::forward_inference, algorithm::lrn_across_channels, desc, size,
                                  request.node.float_or("alpha", 1e-4F), request.node.float_or("beta", 0.75F),
                                  request.node.float_or("bias", 1.0F));
        return dnnl::lrn_forward::primitive_desc(d, attributes(), cpu_engine());
      });
      if (auto error = refuse_slow(description.impl_info_str())) return *error;
      auto kernel = one_to_one(request, layout);
      kernel->set_flops(static_cast<double>(elements(request.inputs[0].shape)) * static_cast<double>(2 * size + 4));
      kernel->add(description, dnnl::lrn_forward(description),
                  {{DNNL_ARG_SRC, Operand::input(0), desc}, {DNNL_ARG_DST, Operand::output(0), desc}});
      return KernelPtr(std::move(kernel));
    });
  };
  auto kernel = build(request.inputs[0].layout);
  if (kernel.ok() || request.inputs[0].layout == Layout::kRowMajor) return kernel;
  return build(Layout::kRowMajor);
}

Result<KernelPtr> plan_batch_normalization(const NodeRequest& request) {
  if (auto error = refuse_unless_float(request)) return *error;
  const std::vector<graph::PostOp>& after = request.node.post_ops;
  const bool relu = after.size() == 1 && after[0].kind == graph::PostOp::Kind::kRelu;
  if (!relu && !after.empty()) return unsupported("post-ops other than one Relu after BatchNormalization");
  const DType dtype = request.inputs[0].dtype;
  if (request.outputs[0].dtype != dtype) return unsupported("a result of another type than the input's");
  const Shape& shape = request.inputs[0].shape;
  if (shape.size() < 2 || shape.size() > 5) return unsupported("rank " + std::to_string(shape.size()));
  if (request.node.int_or("training_mode", 0) != 0 || has_output(request, 1)) return unsupported("training");
  if (request.inputs.size() != 5) return unsupported(std::to_string(request.inputs.size()) + " inputs");
  auto build = [&](Layout layout) {
    return guarded([&]() -> Result<KernelPtr> {
      Desc desc = in_layout(shape, layout, dtype);
      auto description = with_width(request.max_width, [&] {
        auto flags = dnnl::normalization_flags::use_global_stats | dnnl::normalization_flags::use_scale |
                     dnnl::normalization_flags::use_shift;
        if (relu) flags = flags | dnnl::normalization_flags::fuse_norm_relu;
        dnnl::batch_normalization_forward::desc d(prop_kind::forward_inference, desc,
                                                  request.node.float_or("epsilon", 1e-5F), flags);
        return dnnl::batch_normalization_forward::primitive_desc(d, attributes(), cpu_engine());
      });
      if (auto error = refuse_slow(description.impl_info_str())) return *error;
      auto kernel = one_to_one(request, layout);
      kernel->allow_in_place(0);
      kernel->set_flops(2.0 * static_cast<double>(elements(shape)));
      kernel->add(description, dnnl::batch_normalization_forward(description),
                  {{DNNL_ARG_SRC, Operand::input(0), desc},
                   {DNNL_ARG_DST, Operand::output(0), desc},
                   vector_input(DNNL_ARG_SCALE, 1, shape[1]),
                   vector_input(DNNL_ARG_SHIFT, 2, shape[1]),
                   vector_input(DNNL_ARG_MEAN, 3, shape[1]),
                   vector_input(DNNL_ARG_VARIANCE, 4, shape[1])});
      return KernelPtr(std::move(kernel));
    });
  };
  auto kernel = build(request.inputs[0].layout);
  if (kernel.ok() || request.inputs[0].layout == Layout::kRowMajor) return kernel;
  return build(Layout::kRowMajor);
}

Result<KernelPtr> plan_layer_normalization(const NodeRequest& request) {
  if (auto error = refuse_unless_float(request)) return *error;
  DType dtype = request.inputs[0].dtype;
  if (request.outputs[0].dtype != dtype) return unsupported("a result of another type than the input's");
  if (auto error = refuse_post_ops(request)) return *error;
  const Shape& shape = request.inputs[0].shape;
  auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = request.node.int_or("axis", -1);
  if (axis < 0) axis += rank;
  if (axis < 1 || axis >= rank) return unsupported("axis " + std::to_string(axis));
  if (has_output(request, 1) || has_output(request, 2)) return unsupported("the Mean or InvStdDev output");
  int64_t rows = elements(std::span(shape).first(static_cast<size_t>(axis)));
  int64_t length = elements(shape) / rows;
  if (elements(request.inputs[1].shape) != length) return unsupported("a scale that is broadcast");
  bool shift = request.inputs.size() > 2 && request.present[2];
  if (shift && elements(request.inputs[2].shape) != length) return unsupported("a bias that is broadcast");
  return guarded([&]() -> Result<KernelPtr> {
    Desc desc = row_major({rows, length}, dtype);
    auto description = with_width(request.max_width, [&] {
      auto flags = dnnl::normalization_flags::use_scale;
      if (shift) flags = flags | dnnl::normalization_flags::use_shift;
      dnnl::layer_normalization_forward::desc d(prop_kind::forward_inference, desc,
                                                request.node.float_or("epsilon", 1e-5F), flags);
      return dnnl::layer_normalization_forward::primitive_desc(d, attributes(), cpu_engine());
    });
    if (auto error = refuse_slow(description.impl_info_str())) return *error;
    auto kernel = one_to_one(request, Layout::kRowMajor);
    kernel->set_flops(8.0 * static_cast<double>(elements(shape)));
    std::vector<Binding> bindings = {{DNNL_ARG_SRC, Operand::input(0), desc},
                                     {DNNL_ARG_DST, Operand::output(0), desc},
                                     vector_input(DNNL_ARG_SCALE, 1, length)};
    if (shift) bindings.push_back(vector_input(DNNL_ARG_SHIFT, 2, length));
    kernel->add(description, dnnl::layer_normalization_forward(description), std::move(bindings));
    return KernelPtr(std::move(kernel));
  });
}

Result<KernelPtr> plan_reduction(const NodeRequest& request) {
  for (DType dtype : {request.inputs[0].dtype, request.outputs[0].dtype})
    if (dtype != DType::kF32 && dtype != DType::kBF16)
      return unsupported("type " + std::string(dtype_kserve_name(dtype)));
  if (elements(request.inputs[0].shape) == 0) return unsupported("an empty tensor");
  if (auto error = refuse_post_ops(request)) return *error;
  const graph::Node& node = request.node;
  algorithm kind = algorithm::reduction_sum;
  if (node.op == "ReduceMean")
    kind = algorithm::reduction_mean;
  else if (node.op != "ReduceSum")
    return unsupported("no function for " + node.op);
  const Shape& in = request.inputs[0].shape;
  std::vector<int64_t> axes = node.ints_or("axes", {});
  if (request.inputs.size() > 1 && request.present[1]) {
    if (request.constants[1] == nullptr) return unsupported("axes that are not constant");
    auto given = request.constants[1]->view().as<int64_t>();
    axes.assign(given.begin(), given.end());
  }
  if (axes.empty()) return unsupported("a reduction over no named axes");
  std::set<size_t> reduced;
  for (int64_t axis : axes)
    reduced.insert(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(in.size()) : axis));
  // Neighbours that are both reduced or both kept become one.
  Dims from;
  Dims to;
  for (size_t i = 0; i < in.size(); ++i) {
    bool here = reduced.contains(i);
    bool merge = i > 0 && here == reduced.contains(i - 1);
    if (merge) {
      from.back() *= in[i];
      if (!here) to.back() *= in[i];
    } else {
      from.push_back(in[i]);
      to.push_back(here ? 1 : in[i]);
    }
  }
  return guarded([&]() -> Result<KernelPtr> {
    Desc source = row_major(from, request.inputs[0].dtype);
    Desc destination = row_major(to, request.outputs[0].dtype);
    auto description = with_width(request.max_width, [&] {
      return dnnl::reduction::primitive_desc({kind, source, destination, 0.0F, 0.0F}, attributes(), cpu_engine());
    });
    if (auto error = refuse_slow(description.impl_info_str())) return *error;
    auto kernel = one_to_one(request, Layout::kRowMajor);
    kernel->set_flops(static_cast<double>(elements(in)));
    kernel->add(description, dnnl::reduction(description),
                {{DNNL_ARG_SRC, Operand::input(0), source}, {DNNL_ARG_DST, Operand::output(0), destination}});
    return KernelPtr(std::move(kernel));
  });
}

}  // namespace motet::ops::onednn
