#include "compute/ops/conv/conv.h"

#include <algorithm>

#include "compute/ops/matmul/product.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

struct ConvPlan {
  Window window;
  int64_t batch, group;
  int64_t in_each, out_each;  // channels of a group
  bool biased;

  int64_t out_channels() const { return group * out_each; }
};

// y[i] += w x[i * stride]
template <class T>
void add_scaled(T w, const T* x, int64_t stride, T* y, int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    if (stride == 1) return vec::loops().axpy(w, x, y, n);
  }
  for (int64_t i = 0; i < n; ++i) y[i] += w * x[i * stride];
}

// Adds one input plane through one kernel plane to one output plane.
template <class T>
void add_plane(const Window& window, const T* x, const T* w, T* y) {
  const auto& [d, h, v] = window.axes;
  for (int64_t kd = 0; kd < d.kernel; ++kd) {
    for (int64_t kh = 0; kh < h.kernel; ++kh) {
      for (int64_t kv = 0; kv < v.kernel; ++kv) {
        const T weight = *w++;
        const int64_t first = v.first_output(kv), end = v.end_output(kv);
        if (end <= first) continue;
        const int64_t column = v.origin(first) + kv * v.dilation;
        for (int64_t od = d.first_output(kd); od < d.end_output(kd); ++od) {
          const int64_t id = d.origin(od) + kd * d.dilation;
          for (int64_t oh = h.first_output(kh); oh < h.end_output(kh); ++oh) {
            const int64_t ih = h.origin(oh) + kh * h.dilation;
            add_scaled<T>(weight, x + (id * h.in + ih) * v.in + column, v.stride, y + (od * h.out + oh) * v.out + first,
                          end - first);
          }
        }
      }
    }
  }
}

template <class T>
void run_planes(const ConvPlan& p, const KernelArgs& args, device::Team& team) {
  const T* x = input_data<T>(args, 0);
  const T* w = input_data<T>(args, 1);
  const T* bias = p.biased ? input_data<T>(args, 2) : nullptr;
  T* y = output_data<T>(args, 0);
  const int64_t in_plane = p.window.in_plane(), out_plane = p.window.out_plane(), taps = p.window.taps();
  const int64_t work = std::max<int64_t>(1, out_plane * taps * p.in_each);
  team.for_range(p.batch * p.out_channels(), (131072 + work - 1) / work, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t oc = at % p.out_channels(), n = at / p.out_channels();
      T* to = y + at * out_plane;
      std::fill(to, to + out_plane, bias == nullptr ? T(0) : bias[oc]);
      const T* from = x + (n * p.group + oc / p.out_each) * p.in_each * in_plane;
      for (int64_t ic = 0; ic < p.in_each; ++ic) {
        add_plane<T>(p.window, from + ic * in_plane, w + (oc * p.in_each + ic) * taps, to);
      }
    }
  });
}

// A kernel of one tap and no stride is a matrix product: [out, in] times [in, plane].
template <class T>
void run_pointwise(const ConvPlan& p, const KernelArgs& args, device::Team& team) {
  const T* bias = p.biased ? input_data<T>(args, 2) : nullptr;
  const int64_t plane = p.window.in_plane();
  for (int64_t i = 0; i < p.batch * p.group; ++i) {
    const int64_t g = i % p.group;
    T* y = output_data<T>(args, 0) + i * p.out_each * plane;
    if (bias != nullptr) {
      team.for_range(p.out_each, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, plane)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t oc = begin; oc < end; ++oc)
                         std::fill(y + oc * plane, y + (oc + 1) * plane, bias[g * p.out_each + oc]);
                     });
    }
    multiply<T>(p.out_each, plane, p.in_each, input_data<T>(args, 1) + g * p.out_each * p.in_each, p.in_each,
                input_data<T>(args, 0) + i * p.in_each * plane, plane, y, plane, static_cast<const T*>(nullptr),
                bias != nullptr, team);
  }
}

bool is_pointwise(const Window& window) {
  return std::all_of(window.axes.begin(), window.axes.end(), [](const WindowAxis& a) {
    return a.kernel == 1 && a.stride == 1 && a.pad_begin == 0 && a.pad_end == 0;
  });
}

Status expect_bias(const NodeRequest& request, int64_t channels) {
  if (!has_input(request, 2)) return {};
  const TensorSpec& bias = request.inputs[2];
  if (bias.dtype == request.inputs[0].dtype && bias.shape == Shape{channels}) return {};
  return unsupported("the bias is " + describe(bias) + " for " + std::to_string(channels) + " channels");
}

// Extents of weights [first, second, kernel...] against an input of as many extents.
Result<Shape> kernel_extents(const NodeRequest& request) {
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  if (x.dtype != w.dtype || x.shape.size() != w.shape.size() || x.shape.size() < 3) {
    return unsupported("weights " + describe(w) + " for " + describe(x));
  }
  return Shape(w.shape.begin() + 2, w.shape.end());
}

}  // namespace

Result<KernelPtr> plan_conv(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  MOTET_ASSIGN(Shape kernel, kernel_extents(request));
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  const int64_t group = request.node.int_or("group", 1);
  if (group < 1 || x.shape[1] != w.shape[1] * group || w.shape[0] % group != 0) {
    return unsupported("weights " + describe(w) + " for " + describe(x) + " in " + std::to_string(group) + " groups");
  }
  MOTET_ASSIGN(Window window, window_of(request, kernel));
  ConvPlan p{window, x.shape[0], group, w.shape[1], w.shape[0] / group, has_input(request, 2)};
  MOTET_RETURN_IF_ERROR(expect_bias(request, p.out_channels()));
  Shape shape = request.outputs[0].shape;  // spatial extents are checked
  shape[0] = p.batch;
  shape[1] = p.out_channels();
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, x.dtype, shape));
  const double flops = 2.0 * static_cast<double>(elements(shape)) * static_cast<double>(p.in_each * window.taps());
  const bool pointwise = is_pointwise(window);
  KernelPtr result;
  for_float_type(x.dtype, [&]<class T>(T) {
    result = make_kernel(
        [p, pointwise](const KernelArgs& args, device::Team& team) {
          pointwise ? run_pointwise<T>(p, args, team) : run_planes<T>(p, args, team);
        },
        {.flops = flops});
  });
  return result;
}

namespace {

// Adds one input plane, spread through one kernel plane, to one output plane. Roles of input and output are swapped
// against a convolution, so the window is read with them swapped.
template <class T>
void spread_plane(const Window& swapped, const T* x, const T* w, T* y) {
  const auto& [d, h, v] = swapped.axes;
  for (int64_t kd = 0; kd < d.kernel; ++kd) {
    for (int64_t kh = 0; kh < h.kernel; ++kh) {
      for (int64_t kv = 0; kv < v.kernel; ++kv) {
        const T weight = *w++;
        for (int64_t id = d.first_output(kd); id < d.end_output(kd); ++id) {
          const int64_t od = d.origin(id) + kd * d.dilation;
          for (int64_t ih = h.first_output(kh); ih < h.end_output(kh); ++ih) {
            const int64_t oh = h.origin(ih) + kh * h.dilation;
            const int64_t first = v.first_output(kv), end = v.end_output(kv);
            const T* from = x + (id * h.out + ih) * v.out;
            T* to = y + (od * h.in + oh) * v.in + kv * v.dilation - v.pad_begin;
            for (int64_t i = first; i < end; ++i) to[i * v.stride] += weight * from[i];
          }
        }
      }
    }
  }
}

template <class T>
void run_transposed(const ConvPlan& p, const KernelArgs& args, device::Team& team) {
  const T* x = input_data<T>(args, 0);
  const T* w = input_data<T>(args, 1);
  const T* bias = p.biased ? input_data<T>(args, 2) : nullptr;
  T* y = output_data<T>(args, 0);
  const int64_t in_plane = p.window.out_plane(), out_plane = p.window.in_plane(), taps = p.window.taps();
  const int64_t work = std::max<int64_t>(1, in_plane * taps * p.in_each);
  team.for_range(p.batch * p.out_channels(), (131072 + work - 1) / work, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t oc = at % p.out_channels(), n = at / p.out_channels();
      T* to = y + at * out_plane;
      std::fill(to, to + out_plane, bias == nullptr ? T(0) : bias[oc]);
      for (int64_t i = 0; i < p.in_each; ++i) {
        const int64_t ic = oc / p.out_each * p.in_each + i;
        spread_plane<T>(p.window, x + (n * p.group * p.in_each + ic) * in_plane,
                        w + (ic * p.out_each + oc % p.out_each) * taps, to);
      }
    }
  });
}

}  // namespace

Result<KernelPtr> plan_conv_transpose(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  MOTET_ASSIGN(Shape kernel, kernel_extents(request));
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  const int64_t group = request.node.int_or("group", 1);
  if (group < 1 || x.shape[1] != w.shape[0] || w.shape[0] % group != 0) {
    return unsupported("weights " + describe(w) + " for " + describe(x) + " in " + std::to_string(group) + " groups");
  }
  MOTET_ASSIGN(Window window, transposed_window_of(request, kernel));
  for (WindowAxis& axis : window.axes) std::swap(axis.in, axis.out);
  ConvPlan p{window, x.shape[0], group, w.shape[0] / group, w.shape[1], has_input(request, 2)};
  MOTET_RETURN_IF_ERROR(expect_bias(request, p.out_channels()));
  Shape shape = request.outputs[0].shape;  // spatial extents are checked
  shape[0] = p.batch;
  shape[1] = p.out_channels();
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, x.dtype, shape));
  const double flops = 2.0 * static_cast<double>(elements(x.shape)) * static_cast<double>(p.out_each * window.taps());
  KernelPtr result;
  for_float_type(x.dtype, [&]<class T>(T) {
    result = make_kernel([p](const KernelArgs& args, device::Team& team) { run_transposed<T>(p, args, team); },
                         {.flops = flops});
  });
  return result;
}

}  // namespace motet::ops
