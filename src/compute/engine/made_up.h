// Made-up data to measure programs with. Private to compute/engine. Pure.
#pragma once

#include <vector>

#include "base/tensor/tensor.h"
#include "compute/engine/program.h"

namespace motet::engine {

// A tensor for each port, from a fixed stream: f32 in [-1, 1), zero of other types. REQUIRES: all extents are known.
std::vector<Tensor> make_up(const std::vector<Port>& ports);

}  // namespace motet::engine
