// Operations on each element by itself, with numpy broadcasting where there are several operands: plan functions for
// registry.cpp. f16 and bf16 come here as f32 (support/adapt.h). Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_unary(
    const NodeRequest& request);  // Abs, Relu, Sigmoid, Gelu, Sin, ..., one operand, same type out
Result<KernelPtr> plan_test(const NodeRequest& request);  // IsNaN, IsInf: float to bool
Result<KernelPtr> plan_arithmetic(
    const NodeRequest& request);  // Add, Sub, Mul, Div, Mod, PRelu, And, BitwiseXor, BitShift, ...
Result<KernelPtr> plan_scale_channels(
    const NodeRequest& request);  // Mul of a picture in a blocked layout by one number a channel
Result<KernelPtr> plan_variadic(const NodeRequest& request);    // Max, Min, Sum, Mean of any number of operands
Result<KernelPtr> plan_comparison(const NodeRequest& request);  // Equal, Less, ...: bool out
Result<KernelPtr> plan_pow(const NodeRequest& request);         // base and exponent of different types
Result<KernelPtr> plan_clip(const NodeRequest& request);        // bounds as attributes (before 11) or inputs
Result<KernelPtr> plan_where(const NodeRequest& request);       // any type
Result<KernelPtr> plan_cast(const NodeRequest& request);        // Cast, CastLike; any type but strings

}  // namespace motet::ops
