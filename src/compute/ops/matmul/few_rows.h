// Products of few rows with constant weights: the speed is that of reading the weights, which are packed in panels
// (vector/loops.h) so that each core reads its share in one stream. Planning on one thread at a time per model, kernels
// from any thread.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// MatMul and Gemm in f32 with a constant plain matrix on the right, at most kFewRows rows, a bias a column and
// post-ops. Where NodeRequest::choices is given, refuses shapes that oneDNN is measured to do faster.
Result<KernelPtr> plan_few_rows(const NodeRequest& request);

inline constexpr int64_t kFewRows = 48;

}  // namespace motet::ops
