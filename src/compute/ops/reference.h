// The form in which a plain kernel enters the table: with 16-bit floats and post-ops looked after.
#pragma once

#include "compute/ops/registry.h"
#include "compute/ops/support/adapt.h"

namespace motet::ops {

// Computes, so 16-bit floats are widened.
template <PlanFunction plan>
Result<KernelPtr> plan_computing(const NodeRequest& request) {
  return plan_half_as_float(request, [](const NodeRequest& wide) { return plan_with_post_ops(wide, plan); });
}

// The same for small results only: below this many elements our loops are done before oneDNN's call overhead (about 3
// us) is.
inline constexpr int64_t kSmall = 8192;
template <PlanFunction plan>
Result<KernelPtr> plan_small(const NodeRequest& request) {
  for (const TensorSpec& out : request.outputs) {
    if (elements(out.shape) > kSmall) return unsupported("more than " + std::to_string(kSmall) + " elements");
  }
  return plan_computing<plan>(request);
}

// Moves elements as they are.
template <PlanFunction plan>
Result<KernelPtr> plan_moving(const NodeRequest& request) {
  return plan_with_post_ops(request, plan);
}

}  // namespace motet::ops
