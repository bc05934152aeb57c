#include "compute/ops/support/window.h"

#include <algorithm>

#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// Far beyond any real network, and far below where products of three would overflow.
constexpr int64_t kMost = 1 << 20;

struct Attributes {
  Shape kernel, strides, dilations, pads;
  std::string auto_pad;
  bool ceil_mode = false;
};

Result<Attributes> attributes_of(const NodeRequest& request, const Shape& kernel) {
  const size_t rank = request.inputs[0].shape.size();
  if (rank < 3 || rank > 5)
    return unsupported("input 0 is " + describe(request.inputs[0]) + "; one to three spatial extents are possible");
  const size_t spatial = rank - 2;
  Attributes a;
  a.kernel = request.node.ints_or("kernel_shape", kernel);
  a.strides = request.node.ints_or("strides", Shape(spatial, 1));
  a.dilations = request.node.ints_or("dilations", Shape(spatial, 1));
  a.pads = request.node.ints_or("pads", Shape(spatial * 2, 0));
  a.auto_pad = request.node.string_or("auto_pad", "NOTSET");
  a.ceil_mode = request.node.int_or("ceil_mode", 0) != 0;
  if (a.kernel.size() != spatial || a.strides.size() != spatial || a.dilations.size() != spatial ||
      a.pads.size() != spatial * 2) {
    return unsupported("kernel " + shape_to_string(a.kernel) + ", strides " + shape_to_string(a.strides) +
                       ", dilations " + shape_to_string(a.dilations) + ", pads " + shape_to_string(a.pads) + " for " +
                       describe(request.inputs[0]));
  }
  if (!kernel.empty() && a.kernel != kernel) {
    return unsupported("kernel_shape " + shape_to_string(a.kernel) + " where the weights have " +
                       shape_to_string(kernel));
  }
  for (size_t d = 0; d < spatial; ++d) {
    const int64_t positive[] = {a.kernel[d], a.strides[d], a.dilations[d]};
    for (int64_t v : positive) {
      if (v < 1 || v > kMost) return unsupported("a kernel, stride or dilation of " + std::to_string(v));
    }
    if (request.inputs[0].shape[d + 2] > (int64_t{1} << 40))
      return unsupported("input 0 is " + describe(request.inputs[0]));
  }
  for (int64_t v : a.pads) {
    if (v < 0 || v > kMost) return unsupported("a pad of " + std::to_string(v));
  }
  if (a.auto_pad != "NOTSET" && a.auto_pad != "SAME_UPPER" && a.auto_pad != "SAME_LOWER" && a.auto_pad != "VALID" &&
      !a.auto_pad.empty()) {
    return unsupported("auto_pad '" + a.auto_pad + "'");
  }
  return a;
}

Error wrong_output(const NodeRequest& request, const Window& window) {
  Shape expected(request.inputs[0].shape.begin(), request.inputs[0].shape.begin() + 2);
  for (size_t d = 3 - window.spatial; d < 3; ++d) expected.push_back(window.axes[d].out);
  return unsupported("the output would have spatial extents as in " + shape_to_string(expected) + ", not " +
                     describe(request.outputs[0]));
}

void split_padding(WindowAxis& axis, int64_t total, bool more_at_end) {
  axis.pad_begin = more_at_end ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

}  // namespace

Result<Window> window_of(const NodeRequest& request, const Shape& kernel) {
  MOTET_ASSIGN(Attributes a, attributes_of(request, kernel));
  Window window;
  window.spatial = a.kernel.size();
  const Shape& out = request.outputs[0].shape;
  if (out.size() != window.spatial + 2) return unsupported("output 0 is " + describe(request.outputs[0]));
  bool agrees = true;
  for (size_t d = 0; d < window.spatial; ++d) {
    WindowAxis& axis = window.axes[3 - window.spatial + d];
    axis = {request.inputs[0].shape[d + 2], 0, a.kernel[d], a.strides[d], a.dilations[d], a.pads[d],
            a.pads[window.spatial + d]};
    const int64_t reach = (axis.kernel - 1) * axis.dilation + 1;
    if (a.auto_pad == "VALID") axis.pad_begin = axis.pad_end = 0;
    if (a.auto_pad == "SAME_UPPER" || a.auto_pad == "SAME_LOWER") {
      axis.out = (axis.in + axis.stride - 1) / axis.stride;
      const int64_t total = std::max<int64_t>(0, (axis.out - 1) * axis.stride + reach - axis.in);
      split_padding(axis, total, a.auto_pad == "SAME_UPPER");
    } else {
      const int64_t room = axis.in + axis.pad_begin + axis.pad_end - reach;
      if (room < 0) return unsupported("a window of " + std::to_string(reach) + " over " + describe(request.inputs[0]));
      axis.out = room / axis.stride + 1;
      // Rounding up adds a last window that starts inside the input or the padding before it.
      if (a.ceil_mode && room % axis.stride != 0 && axis.out * axis.stride < axis.in + axis.pad_begin) ++axis.out;
    }
    agrees = agrees && out[d + 2] == axis.out;
  }
  if (!agrees) return wrong_output(request, window);
  return window;
}

Result<Window> transposed_window_of(const NodeRequest& request, const Shape& kernel) {
  MOTET_ASSIGN(Attributes a, attributes_of(request, kernel));
  Window window;
  window.spatial = a.kernel.size();
  const Shape& out = request.outputs[0].shape;
  if (out.size() != window.spatial + 2) return unsupported("output 0 is " + describe(request.outputs[0]));
  const Shape extra = request.node.ints_or("output_padding", Shape(window.spatial, 0));
  Shape wanted = request.node.ints_or("output_shape", {});
  // Some exporters write the whole shape.
  if (wanted.size() == window.spatial + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (extra.size() != window.spatial || (!wanted.empty() && wanted.size() != window.spatial)) {
    return unsupported("output_padding " + shape_to_string(extra) + " and output_shape " + shape_to_string(wanted));
  }
  bool agrees = true;
  for (size_t d = 0; d < window.spatial; ++d) {
    WindowAxis& axis = window.axes[3 - window.spatial + d];
    axis = {request.inputs[0].shape[d + 2], 0, a.kernel[d], a.strides[d], a.dilations[d], a.pads[d],
            a.pads[window.spatial + d]};
    if (extra[d] < 0 || extra[d] > kMost) return unsupported("output_padding " + shape_to_string(extra));
    const int64_t full = axis.stride * (axis.in - 1) + extra[d] + (axis.kernel - 1) * axis.dilation + 1;
    const bool same = a.auto_pad == "SAME_UPPER" || a.auto_pad == "SAME_LOWER";
    if (!wanted.empty() || same) {
      axis.out = !wanted.empty() ? wanted[d] : axis.in * axis.stride;
      split_padding(axis, std::max<int64_t>(0, full - axis.out), a.auto_pad == "SAME_UPPER");
    } else {
      if (a.auto_pad == "VALID") axis.pad_begin = axis.pad_end = 0;
      axis.out = full - axis.pad_begin - axis.pad_end;
    }
    if (axis.out < 0) return unsupported("an output extent of " + std::to_string(axis.out));
    agrees = agrees && out[d + 2] == axis.out;
  }
  if (!agrees) return wrong_output(request, window);
  return window;
}

}  // namespace motet::ops
