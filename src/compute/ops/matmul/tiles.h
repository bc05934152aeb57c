// Products of many rows (of any number in bf16) with constant weights, which are packed once in panels of columns. Any
// thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// MatMul and Gemm, with bias and post-ops, where the CPU has AVX-512 (AVX512_BF16 for bf16). Where
// NodeRequest::choices is given, refuses a type whose products oneDNN is measured to do faster (with AMX, say).
Result<KernelPtr> plan_tiled_product(const NodeRequest& request);

}  // namespace motet::ops
