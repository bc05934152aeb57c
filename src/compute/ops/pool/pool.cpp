#include "compute/ops/pool/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// Calls f(plane, output position, output index in the plane) for the planes [begin, end).
template <class F>
void for_outputs(const Window& window, int64_t begin, int64_t end, F&& f) {
  const auto& [d, h, v] = window.axes;
  for (int64_t plane = begin; plane < end; ++plane) {
    int64_t at = plane * window.out_plane();
    for (int64_t od = 0; od < d.out; ++od) {
      for (int64_t oh = 0; oh < h.out; ++oh) {
        for (int64_t ov = 0; ov < v.out; ++ov) f(plane, std::array<int64_t, 3>{od, oh, ov}, at++);
      }
    }
  }
}

// Calls f(input offset in the plane) for each tap of output `o` that falls inside the input, in order.
template <class F>
void for_taps(const Window& window, const std::array<int64_t, 3>& o, F&& f) {
  const auto& [d, h, v] = window.axes;
  const int64_t v0 = v.first_tap(o[2]), v1 = v.end_tap(o[2]);
  for (int64_t kd = d.first_tap(o[0]); kd < d.end_tap(o[0]); ++kd) {
    const int64_t id = d.origin(o[0]) + kd * d.dilation;
    for (int64_t kh = h.first_tap(o[1]); kh < h.end_tap(o[1]); ++kh) {
      const int64_t row = (id * h.in + h.origin(o[1]) + kh * h.dilation) * v.in + v.origin(o[2]);
      for (int64_t kv = v0; kv < v1; ++kv) f(row + kv * v.dilation);
    }
  }
}

int64_t planes_grain(const Window& window) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, window.out_plane() * window.taps()));
}

// Checks a pool's node and returns its window.
Result<Window> pool_window(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  if (request.node.find("kernel_shape") == nullptr) return unsupported("kernel_shape is not given");
  MOTET_ASSIGN(Window window, window_of(request, {}));
  const TensorSpec& in = request.inputs[0];
  Shape shape = request.outputs[0].shape;  // spatial extents are checked
  shape[0] = in.shape[0];
  shape[1] = in.shape[1];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  return window;
}

int64_t planes_of(const NodeRequest& request) { return request.inputs[0].shape[0] * request.inputs[0].shape[1]; }

// Position in the plane as MaxPool's Indices count it when storage_order is 1: as if extents were stored the other way
// round.
int64_t column_major(const Window& window, int64_t offset) {
  const auto& [d, h, v] = window.axes;
  const int64_t iv = offset % v.in, ih = offset / v.in % h.in, id = offset / (v.in * h.in);
  return (iv * h.in + ih) * d.in + id;
}

}  // namespace

Result<KernelPtr> plan_max_pool(const NodeRequest& request) {
  MOTET_ASSIGN(Window window, pool_window(request));
  const bool with_indices = has_output(request, 1);
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, DType::kI64, request.outputs[0].shape));
  const bool transposed = request.node.int_or("storage_order", 0) != 0;
  const int64_t planes = planes_of(request);
  KernelPtr kernel;
  for_number_type(request.inputs[0].dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      const T* x = input_data<T>(args, 0);
      T* y = output_data<T>(args, 0);
      int64_t* indices = with_indices ? output_data<int64_t>(args, 1) : nullptr;
      const int64_t in_plane = window.in_plane();
      team.for_range(planes, planes_grain(window), [&](int64_t begin, int64_t end) {
        for_outputs(window, begin, end, [&](int64_t plane, const std::array<int64_t, 3>& o, int64_t at) {
          const T* from = x + plane * in_plane;
          T best = std::numeric_limits<T>::has_infinity ? static_cast<T>(-std::numeric_limits<T>::infinity())
                                                        : std::numeric_limits<T>::lowest();
          int64_t where = -1;
          for_taps(window, o, [&](int64_t offset) {
            if (from[offset] > best || where < 0 || from[offset] != from[offset]) {
              best = from[offset];
              where = offset;
            }
          });
          y[at] = best;
          if (indices != nullptr)
            indices[at] = plane * in_plane + (transposed ? column_major(window, std::max<int64_t>(0, where))
                                                         : std::max<int64_t>(0, where));
        });
      });
    });
  });
  if (kernel == nullptr) return unsupported("MaxPool of " + describe(request.inputs[0]));
  return kernel;
}

Result<KernelPtr> plan_average_pool(const NodeRequest& request) {
  MOTET_ASSIGN(Window window, pool_window(request));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const bool with_padding = request.node.int_or("count_include_pad", 0) != 0;
  const int64_t planes = planes_of(request);
  // Taps of output o that fall on the input or its padding, where a last window rounded up may reach beyond both.
  auto padded_taps = [](const WindowAxis& a, int64_t o) {
    const int64_t room = a.in + a.pad_end - a.origin(o);
    return std::clamp<int64_t>((room + a.dilation - 1) / a.dilation, 1, a.kernel);
  };
  KernelPtr kernel;
  for_float_type(request.inputs[0].dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      const T* x = input_data<T>(args, 0);
      T* y = output_data<T>(args, 0);
      team.for_range(planes, planes_grain(window), [&](int64_t begin, int64_t end) {
        for_outputs(window, begin, end, [&](int64_t plane, const std::array<int64_t, 3>& o, int64_t at) {
          const T* from = x + plane * window.in_plane();
          T sum = 0;
          int64_t count = 0;
          for_taps(window, o, [&](int64_t offset) {
            sum += from[offset];
            ++count;
          });
          if (with_padding) {
            count = padded_taps(window.axes[0], o[0]) * padded_taps(window.axes[1], o[1]) *
                    padded_taps(window.axes[2], o[2]);
          }
          y[at] = count > 0 ? sum / static_cast<T>(count) : T(0);
        });
      });
    });
  });
  return kernel;
}

Result<KernelPtr> plan_lp_pool(const NodeRequest& request) {
  MOTET_ASSIGN(Window window, pool_window(request));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const int64_t p = request.node.int_or("p", 2);
  if (p < 1) return unsupported("p " + std::to_string(p));
  const int64_t planes = planes_of(request);
  KernelPtr kernel;
  for_float_type(request.inputs[0].dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      const T* x = input_data<T>(args, 0);
      T* y = output_data<T>(args, 0);
      const T power = static_cast<T>(p);
      team.for_range(planes, planes_grain(window), [&](int64_t begin, int64_t end) {
        for_outputs(window, begin, end, [&](int64_t plane, const std::array<int64_t, 3>& o, int64_t at) {
          const T* from = x + plane * window.in_plane();
          T sum = 0;
          for_taps(window, o, [&](int64_t offset) { sum += std::pow(std::abs(from[offset]), power); });
          y[at] = std::pow(sum, 1 / power);
        });
      });
    });
  });
  return kernel;
}

namespace {

template <class T>
T sum_of(const T* x, int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    return vec::loops().sum(x, n);
  } else {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
}

template <class T>
T pooled(std::string_view op, const T* x, int64_t n, int64_t p) {
  if (op == "GlobalAveragePool") return sum_of(x, n) / static_cast<T>(n);
  if (op == "GlobalMaxPool") return *std::max_element(x, x + n);
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::pow(std::abs(x[i]), static_cast<T>(p));
  return std::pow(sum, 1 / static_cast<T>(p));
}

}  // namespace

Result<KernelPtr> plan_global_pool(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  if (in.shape.size() < 2 || elements(in.shape) == 0) return unsupported("of " + describe(in));
  Shape shape(in.shape.size(), 1);
  shape[0] = in.shape[0];
  shape[1] = in.shape[1];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  const int64_t planes = planes_of(request), plane = elements(in.shape) / planes;
  const int64_t p = request.node.int_or("p", 2);
  if (p < 1) return unsupported("p " + std::to_string(p));
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([=, op = request.node.op](const KernelArgs& args, device::Team& team) {
      const T* x = input_data<T>(args, 0);
      T* y = output_data<T>(args, 0);
      team.for_range(planes, std::max<int64_t>(1, kGrain / plane), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = pooled<T>(op, x + i * plane, plane, p);
      });
    });
  });
  return kernel;
}

}  // namespace motet::ops
