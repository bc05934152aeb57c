#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {

Result<KernelPtr> plan_where(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kBool}));
  const TensorSpec& a = request.inputs[1];
  const TensorSpec& b = request.inputs[2];
  if (a.dtype != b.dtype) return unsupported(describe(a) + " and " + describe(b) + " are of different types");
  MOTET_ASSIGN(Shape shape, broadcast_shape(a.shape, b.shape));
  MOTET_ASSIGN(shape, broadcast_shape(shape, request.inputs[0].shape));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, a.dtype, shape));
  BroadcastPlan plan = BroadcastPlan::make(shape, {request.inputs[0].shape, a.shape, b.shape});
  return make_kernel(
      [plan = std::move(plan), bytes = dtype_bytes(a.dtype)](const KernelArgs& args, device::Team& team) {
        const int64_t steps[3] = {plan.inner_step(0), plan.inner_step(1), plan.inner_step(2)};
        for_element_size(bytes, [&]<class T>(T) {
          const bool* condition = input_data<bool>(args, 0);
          const T* a = input_data<T>(args, 1);
          const T* b = input_data<T>(args, 2);
          T* y = output_data<T>(args, 0);
          team.for_range(plan.elements, kGrain, [&](int64_t begin, int64_t end) {
            plan.for_runs(begin, end, [&](int64_t at, int64_t n, const int64_t* offsets) {
              const bool* c = condition + offsets[0];
              const T* p = a + offsets[1];
              const T* q = b + offsets[2];
              for (int64_t i = 0; i < n; ++i) y[at + i] = c[i * steps[0]] ? p[i * steps[1]] : q[i * steps[2]];
            });
          });
        });
      });
}

}  // namespace motet::ops
