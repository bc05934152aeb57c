// Convolutions of 3x3 with stride 1 by Winograd's minimal filtering in bf16: 4 multiplications for 9. Any thread; each
// refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// Conv of bf16 pictures in [N, H, W, C] or blocks of 16 channels, with constant f32 weights, bias, a fused addition and
// Relu or Clip, where NodeRequest::winograd asks for it. Its points are rounded to bf16 once more than a plain
// convolution's operands: the error is about 1.7 times as large.
Result<KernelPtr> plan_winograd(const NodeRequest& request);

}  // namespace motet::ops
