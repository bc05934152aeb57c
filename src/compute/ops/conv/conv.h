// Conv and ConvTranspose of one to three spatial extents, any group, stride, dilation and padding: plan functions for
// registry.cpp. Plain loops without packed buffers. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_conv(const NodeRequest& request);
Result<KernelPtr> plan_conv_transpose(const NodeRequest& request);

}  // namespace motet::ops
