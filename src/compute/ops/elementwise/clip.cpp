#include <limits>

#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/elementwise/layout.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

template <class T>
struct Bounds {
  T low = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
};

// Bounds from attributes at planning, from inputs at each run.
template <class T>
Bounds<T> bounds_now(Bounds<T> bounds, const KernelArgs& args, bool from_inputs) {
  if (!from_inputs) return bounds;
  if (args.inputs.size() > 1 && args.inputs[1].data != nullptr) bounds.low = *input_data<T>(args, 1);
  if (args.inputs.size() > 2 && args.inputs[2].data != nullptr) bounds.high = *input_data<T>(args, 2);
  return bounds;
}

}  // namespace

Result<KernelPtr> plan_clip(const NodeRequest& request) {
  const bool from_inputs = request.node.opset >= 11;
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, from_inputs ? 3 : 1));
  const TensorSpec& in = request.inputs[0];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  bool keeps_zero = true;
  for (size_t i = 1; i < request.inputs.size(); ++i) {
    if (!has_input(request, i)) continue;
    if (request.inputs[i].dtype != in.dtype || elements(request.inputs[i].shape) != 1) {
      return unsupported("a bound is " + describe(request.inputs[i]) + "; one element of the input's type is possible");
    }
    if (constant_input(request, i) == nullptr) {
      keeps_zero = false;
    } else {
      MOTET_ASSIGN(double bound, constant_scalar(request, i, "bound"));
      keeps_zero = keeps_zero && (i == 1 ? bound <= 0 : bound >= 0);
    }
  }
  if (!from_inputs) keeps_zero = request.node.float_or("min", -1) <= 0 && request.node.float_or("max", 1) >= 0;
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    Bounds<T> bounds;
    if (!from_inputs && request.node.find("min") != nullptr)
      bounds.low = static_cast<T>(request.node.float_or("min", 0));
    if (!from_inputs && request.node.find("max") != nullptr)
      bounds.high = static_cast<T>(request.node.float_or("max", 0));
    const Layout layout = common_layout(request, 1, keeps_zero);
    const TensorSpec spec{in.dtype, in.shape, layout};
    const auto count = static_cast<int64_t>(spec.bytes() / sizeof(T));
    kernel = make_kernel(
        [bounds, count, from_inputs](const KernelArgs& args, device::Team& team) {
          const T* x = input_data<T>(args, 0);
          T* y = output_data<T>(args, 0);
          const Bounds<T> b = bounds_now(bounds, args, from_inputs);
          team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
            if constexpr (std::is_same_v<T, float>) {
              vec::loops().unary(vec::Unary::kClip, x + begin, y + begin, end - begin, b.low, b.high);
            } else {
              for (int64_t i = begin; i < end; ++i) {
                const T raised = x[i] < b.low ? b.low : x[i];
                y[i] = raised > b.high ? b.high : raised;
              }
            }
          });
        },
        {.in_place_of = 0, .flops = static_cast<double>(count), .input_layouts = {layout}, .output_layout = layout});
  });
  if (kernel == nullptr) return unsupported("Clip of " + describe(in));
  return kernel;
}

}  // namespace motet::ops
