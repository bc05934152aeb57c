// MaxPool, AveragePool, LpPool and their global forms, over one to three spatial extents: plan functions for
// registry.cpp. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_max_pool(const NodeRequest& request);  // with indices, if the node has a second output
Result<KernelPtr> plan_average_pool(const NodeRequest& request);
Result<KernelPtr> plan_lp_pool(const NodeRequest& request);
Result<KernelPtr> plan_global_pool(const NodeRequest& request);  // GlobalAveragePool, GlobalMaxPool, GlobalLpPool

}  // namespace motet::ops
