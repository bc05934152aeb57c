// Elementwise kernels work on activations as they lie: a result takes the layout of its operands, so that a
// convolution's blocked output needs no reorder before an activation or an addition.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// The extents in memory, outermost first: [N,H,W,C] for kNhwc, [N,C/16,H,W,16] for kNChw16c.
Shape physical_shape(const TensorSpec& spec);

// The layout in which inputs[0 .. count) all lie and in which the op may run: not row-major only if the extents agree
// where blocks need it and `keeps_zero` (f of zeros is zero) or there is no padding. Row-major if there is none such.
Layout common_layout(const NodeRequest& request, size_t count, bool keeps_zero);

}  // namespace motet::ops
