// What a node may take, before anything has been run: an upper estimate for choosing in how many parts it is planned.
// Parts that turn out short are run together, so too many cost little. Private to compute/engine. Pure functions.
#pragma once

#include <span>

#include "base/units.h"
#include "compute/ops/kernel.h"

namespace motet::engine {

// From floating-point operations and bytes of the node, at the rates of a slow core.
Nanos pessimistic_time(const graph::Node& node, std::span<const ops::TensorSpec> inputs,
                       std::span<const ops::TensorSpec> outputs);
// Of a copy that reads and writes `bytes` in all.
Nanos time_to_move(size_t bytes);
// Parts for work that may take `estimate`, so that one is well within `quantum`: at least `cores`, and a multiple of
// it.
int parts_for(Nanos estimate, Nanos quantum, int cores);

}  // namespace motet::engine
