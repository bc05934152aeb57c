// A convolution over a batch as convolutions over pieces of it, one after another: what a kernel loses when its work is
// cut into many parts, it need not lose on fewer pictures. Private to compute/engine.
#pragma once

#include <vector>

#include "compute/ops/kernel.h"
#include "compute/ops/registry.h"

namespace motet::engine {

// True if `request` is a convolution whose batch is a multiple of `pieces`.
bool can_piece(const ops::NodeRequest& request, int pieces);
// Plans it so. REQUIRES: can_piece(request, pieces).
Result<ops::Planned> plan_pieces(const ops::NodeRequest& request, int pieces);

}  // namespace motet::engine
