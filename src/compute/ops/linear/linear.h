// Linear algebra beside products of two matrices: plan functions for table.cpp. Any thread; each refusal tells its
// reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// Any number of operands, repeated labels, "..." and implicit results included; one element of the result at a time.
Result<KernelPtr> plan_einsum(const NodeRequest& request);
// By Gaussian elimination with row exchanges, in double precision.
Result<KernelPtr> plan_det(const NodeRequest& request);

}  // namespace motet::ops
