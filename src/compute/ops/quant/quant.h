// QuantizeLinear and DequantizeLinear, with one scale or one per slice of an axis: plan functions for registry.cpp. Any
// thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_quantize(const NodeRequest& request);    // f32 to u8, i8, u16, i16
Result<KernelPtr> plan_dequantize(const NodeRequest& request);  // u8, i8, u16, i16, i32 to f32

}  // namespace motet::ops
