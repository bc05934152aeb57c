// Resize (opsets 10 to 19) and Upsample (7, 9): every mode, coordinate transformation, axes, antialiasing. Nearest
// takes any type, interpolation f32 and f64. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_resize(const NodeRequest& request);

}  // namespace motet::ops
