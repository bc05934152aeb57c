#include "compute/ops/quant/quant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// Elements [outer, slices, inner]; each slice has its scale and zero point. One slice: one of each for all.
struct Slices {
  int64_t slices = 1, inner = 1, total = 0;
};

Result<Slices> slices_of(const NodeRequest& request) {
  const TensorSpec& in = request.inputs[0];
  const TensorSpec& scale = request.inputs[1];
  if (request.node.int_or("block_size", 0) != 0)
    return unsupported("block_size; one scale, or one per slice of an axis, is possible");
  if (has_input(request, 2) && request.inputs[2].shape != scale.shape) {
    return unsupported("the zero point is " + describe(request.inputs[2]) + " where the scale is " + describe(scale));
  }
  const int64_t total = elements(in.shape);
  if (elements(scale.shape) == 1) return Slices{1, std::max<int64_t>(1, total), total};
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 1), in.shape.size()));
  if (scale.shape != Shape{in.shape[axis]})
    return unsupported("scale " + describe(scale) + " for axis " + std::to_string(axis) + " of " + describe(in));
  return Slices{in.shape[axis], product(in.shape, axis + 1, in.shape.size()), total};
}

// Calls f(slice, begin, end) for runs of elements of one slice.
template <class F>
void for_slices(const Slices& s, device::Team& team, F&& f) {
  team.for_range(s.total, kGrain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t stop = std::min(end, (begin / s.inner + 1) * s.inner);
      f(begin / s.inner % s.slices, begin, stop);
      begin = stop;
    }
  });
}

}  // namespace

Result<KernelPtr> plan_quantize(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32}));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const bool shifted = has_input(request, 2);
  const DType to = request.outputs[0].dtype;
  if (shifted && request.inputs[2].dtype != to) return unsupported("the zero point is " + describe(request.inputs[2]));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, to, request.inputs[0].shape));
  MOTET_ASSIGN(const Slices s, slices_of(request));
  KernelPtr kernel;
  for_integer_type(to, [&]<class T>(T) {
    if constexpr (sizeof(T) <= 2) {
      kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
        const float* x = input_data<float>(args, 0);
        T* y = output_data<T>(args, 0);
        for_slices(s, team, [&](int64_t slice, int64_t begin, int64_t end) {
          const float scale = input_data<float>(args, 1)[slice];
          const float zero = shifted ? static_cast<float>(input_data<T>(args, 2)[slice]) : 0.0f;
          constexpr float kLow = std::numeric_limits<T>::min(), kHigh = std::numeric_limits<T>::max();
          for (int64_t i = begin; i < end; ++i) {
            // Half goes to even; NaN goes to the least value.
            const float v = std::nearbyint(x[i] / scale) + zero;
            y[i] = static_cast<T>(v > kLow ? (v < kHigh ? v : kHigh) : kLow);
          }
        });
      });
    }
  });
  if (kernel == nullptr) return unsupported("to " + describe(request.outputs[0]));
  return kernel;
}

Result<KernelPtr> plan_dequantize(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const DType from = request.inputs[0].dtype;
  const bool shifted = has_input(request, 2);
  if (shifted && request.inputs[2].dtype != from)
    return unsupported("the zero point is " + describe(request.inputs[2]));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kF32, request.inputs[0].shape));
  MOTET_ASSIGN(const Slices s, slices_of(request));
  KernelPtr kernel;
  for_integer_type(from, [&]<class T>(T) {
    if constexpr (sizeof(T) <= 4) {
      kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
        const T* x = input_data<T>(args, 0);
        float* y = output_data<float>(args, 0);
        for_slices(s, team, [&](int64_t slice, int64_t begin, int64_t end) {
          const float scale = input_data<float>(args, 1)[slice];
          const int64_t zero = shifted ? static_cast<int64_t>(input_data<T>(args, 2)[slice]) : 0;
          for (int64_t i = begin; i < end; ++i) y[i] = static_cast<float>(static_cast<int64_t>(x[i]) - zero) * scale;
        });
      });
    }
  });
  if (kernel == nullptr) return unsupported("of " + describe(request.inputs[0]));
  return kernel;
}

}  // namespace motet::ops
