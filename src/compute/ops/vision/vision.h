// Ops on pictures beside convolution, pooling and resizing: plan functions for table.cpp. Any thread; each refusal
// tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// GridSample (opsets 16 and 20) over one to three spatial extents: nearest, linear, cubic.
Result<KernelPtr> plan_grid_sample(const NodeRequest& request);
// AffineGrid over two or three spatial extents.
Result<KernelPtr> plan_affine_grid(const NodeRequest& request);
// RoiAlign (opsets 10, 16) and MaxRoiPool. A batch index out of range is a fault.
Result<KernelPtr> plan_roi_align(const NodeRequest& request);
Result<KernelPtr> plan_max_roi_pool(const NodeRequest& request);
// Adds up what Im2Col would have taken apart, over any number of spatial extents.
Result<KernelPtr> plan_col2im(const NodeRequest& request);
// Puts each element where MaxPool's index says. An index out of range is a fault.
Result<KernelPtr> plan_max_unpool(const NodeRequest& request);
Result<KernelPtr> plan_center_crop_pad(const NodeRequest& request);

}  // namespace motet::ops
