// Products of 8-bit integers that stay sums, and quantisation by what is found: plan functions for table.cpp. Any
// thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// MatMulInteger: zero points of one element, or one a row of the first operand and one a column of the second.
Result<KernelPtr> plan_integer_product(const NodeRequest& request);
// ConvInteger; padding counts as the zero point.
Result<KernelPtr> plan_integer_conv(const NodeRequest& request);
Result<KernelPtr> plan_dynamic_quantize(const NodeRequest& request);

}  // namespace motet::ops
