// motet:QuantisedMatMul: a product of f32 rows with constant weights that are kept as int8, one scale a column.
//
// Inputs: x f32 [..., depth]; weights, a constant f32 [depth, columns] (or [columns, depth] with `transB`), quantised
// when they are packed; a bias f32 of one number a column, or absent; then what post-ops add. Weights of i8 or u8
// [depth, columns] are taken as they are, with constant scales (input 3) and zero points (input 4), one or one a
// column. Result: f32 [..., columns].
//
// "dynamic" quantises each row of x too, in the call: u8 with the row's own range (or that of all rows, with attribute
// `per_tensor` 1, as ONNX's DynamicQuantizeLinear has it), and sums in i32; it needs
// AVX512_VNNI. "weight-only" leaves x as it is and widens the weights: where there is no VNNI, and for few rows where
// it is measured to be as fast. Plan functions for registry.cpp. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_dynamic_product(const NodeRequest& request);
Result<KernelPtr> plan_weight_only_product(const NodeRequest& request);

}  // namespace motet::ops
