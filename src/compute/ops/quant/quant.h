// QuantizeLinear and DequantizeLinear, with one scale or one per slice of an axis, and element-wise ops on quantised
// numbers: plan functions for registry.cpp. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_quantize(const NodeRequest& request);    // f32 to u8, i8, u16, i16
Result<KernelPtr> plan_dequantize(const NodeRequest& request);  // u8, i8, u16, i16, i32 to f32

// The same between f32 or bf16 and u8 or i8 with one constant scale, in row-major or channels last.
Result<KernelPtr> plan_quantize_tensor(const NodeRequest& request);
Result<KernelPtr> plan_dequantize_tensor(const NodeRequest& request);
Result<KernelPtr> plan_qlinear_conv(const NodeRequest& request);     // QLinearConv
Result<KernelPtr> plan_qlinear_product(const NodeRequest& request);  // QLinearMatMul, QGemm
// Of com.microsoft, with constant parameters.
Result<KernelPtr> plan_qlinear_binary(const NodeRequest& request);  // QLinearAdd, QLinearMul
Result<KernelPtr> plan_qlinear_global_pool(const NodeRequest& request);

}  // namespace motet::ops
