// Max, Min, Sum, Mean: the first two operands into the result, then each further one onto it.
#include "compute/ops/elementwise/binary.h"
#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

template <class T>
BinaryRun fold_run(std::string_view op) {
  // A NaN on either side wins.
  if (op == "Max") return run_of<T, T, T>([](T a, T b) { return a > b || a != a ? a : b; });
  if (op == "Min") return run_of<T, T, T>([](T a, T b) { return a < b || a != a ? a : b; });
  if constexpr (std::is_floating_point_v<T>) {
    if (op == "Sum" || op == "Mean") return run_of<T, T, T>([](T a, T b) { return a + b; });
  }
  return nullptr;
}

template <class T>
void divide(std::byte* y, int64_t count, size_t by, device::Team& team) {
  T* values = reinterpret_cast<T*>(y);
  team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) values[i] /= static_cast<T>(by);
  });
}

}  // namespace

Result<KernelPtr> plan_variadic(const NodeRequest& request) {
  const size_t count = request.inputs.size();
  MOTET_RETURN_IF_ERROR(expect_inputs(request, count == 0 ? 1 : count, count));
  const DType dtype = request.inputs[0].dtype;
  BinaryRun run = nullptr;
  for_number_type(dtype, [&]<class T>(T) { run = fold_run<T>(request.node.op); });
  if (run == nullptr) return unsupported(request.node.op + " of " + describe(request.inputs[0]));
  Shape shape = request.inputs[0].shape;
  for (const TensorSpec& in : request.inputs) {
    if (in.dtype != dtype) return unsupported(describe(in) + " beside " + describe(request.inputs[0]));
    MOTET_ASSIGN(shape, broadcast_shape(shape, in.shape));
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, shape));
  std::vector<BroadcastPlan> plans;
  for (size_t i = 1; i < count; ++i) {
    plans.push_back(BroadcastPlan::make(shape, {i == 1 ? request.inputs[0].shape : shape, request.inputs[i].shape}));
  }
  const auto size = static_cast<int64_t>(dtype_bytes(dtype));
  const bool mean = request.node.op == "Mean" && count > 1;
  // With more operands than two, a later one may be the memory that the first result would overwrite.
  const int in_place = count == 2 && request.inputs[0].shape == shape ? 0 : -1;
  const int64_t total = elements(shape);
  return make_kernel(
      [plans = std::move(plans), run, size, mean, count, total, dtype](const KernelArgs& args, device::Team& team) {
        std::byte* y = args.outputs[0].data;
        if (count == 1) {
          team.for_range(total, kGrain, [&](int64_t begin, int64_t end) {
            std::memcpy(y + begin * size, args.inputs[0].data + begin * size,
                        static_cast<size_t>((end - begin) * size));
          });
        }
        for (size_t i = 1; i < count; ++i) {
          const std::byte* a = i == 1 ? args.inputs[0].data : y;
          run_broadcast(plans[i - 1], run, {size, size, size}, a, args.inputs[i].data, y, team);
        }
        if (mean) for_float_type(dtype, [&]<class T>(T) { divide<T>(y, total, count, team); });
      },
      {.in_place_of = in_place, .flops = static_cast<double>(total) * static_cast<double>(count)});
}

}  // namespace motet::ops
