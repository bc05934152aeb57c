// What every reference kernel gets for free: 16-bit floats (computed in f32 and rounded once) and post-ops (applied to
// the finished f32 result). Used by registry.cpp around the families' plan functions.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

using PlanFunction = Result<KernelPtr> (*)(const NodeRequest& request);

// Plans with f16 and bf16 operands widened to f32, if there are any; else just plans.
Result<KernelPtr> plan_half_as_float(const NodeRequest& request, PlanFunction plan);

// Plans the node without its post-ops, and applies those afterwards; just plans if it has none.
Result<KernelPtr> plan_with_post_ops(const NodeRequest& request, PlanFunction plan);

// Any own f32 kernel may apply a node's post-ops itself: y[0 .. n) are the result's elements from `first` on,
// row-major. REQUIRES: kAdd's input is row-major.
void apply_post_ops(std::span<const graph::PostOp> post_ops, const KernelArgs& args, float* y, int64_t first,
                    int64_t n);

}  // namespace motet::ops
