// MatMul and Gemm: plan functions for registry.cpp. MatMul takes a third input as an extension: a bias of N elements
// that a fusion pass adds. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_matmul(const NodeRequest& request);
Result<KernelPtr> plan_gemm(const NodeRequest& request);

}  // namespace motet::ops
