// Conv and ConvTranspose of one to three spatial extents, any group, stride, dilation and padding: plan functions for
// registry.cpp. Plain loops without packed buffers but for depthwise ones. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_conv(const NodeRequest& request);
Result<KernelPtr> plan_conv_transpose(const NodeRequest& request);
// Depthwise ones of f32 pictures with constant weights: windows of 3x3, 5x5 or 7x7 and stride 1 or 2, and an
// activation. Cut by rows of pictures, as the 1x1 convolutions around them are, so that a core finds in its cache what
// it has written.
Result<KernelPtr> plan_depthwise(const NodeRequest& request);

}  // namespace motet::ops
