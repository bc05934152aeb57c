// Reductions along axes, positions of extremes, running sums and the largest few: plan functions for registry.cpp. Any
// thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// ReduceSum, Mean, Max, Min, Prod, L1, L2, LogSum, LogSumExp, SumSquare; axes as attribute or constant input.
Result<KernelPtr> plan_reduce(const NodeRequest& request);
Result<KernelPtr> plan_arg_extreme(const NodeRequest& request);  // ArgMax, ArgMin
Result<KernelPtr> plan_cumulative(const NodeRequest& request);
Result<KernelPtr> plan_topk(const NodeRequest& request);

}  // namespace motet::ops
