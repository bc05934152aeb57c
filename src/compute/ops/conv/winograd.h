// Convolutions of 3x3 with stride 1 by Winograd's minimal filtering (vector/winograd.h). A block of patches goes
// through all channels in the near cache of one core, in memory of the thread's own, so that blocks may be cut anywhere
// and cost nothing more for it. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// Conv of f32 or bf16 pictures in [N, H, W, C] or blocks of 16 channels, of which there are a multiple of 16, with
// constant f32 weights, bias, a fused addition and activations (in bf16 Relu or Clip), where NodeRequest::winograd asks
// for it. In bf16 its points are rounded once more than a plain convolution's operands: the error is about 1.7 times as
// large; in f32 it is about 1e-6 of the largest value. In f32 not for more than 512 by 256 channels where patches of 4x4
// results would be the faster ones: oneDNN is better at those.
Result<KernelPtr> plan_winograd(const NodeRequest& request);

}  // namespace motet::ops
