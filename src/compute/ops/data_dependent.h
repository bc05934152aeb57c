// Ops whose results have as many elements as their data say (NonZero, Unique, Compress, NonMaxSuppression): they cannot
// be planned before their inputs are there, and make their results themselves. What they make is at most a small
// multiple of what they are given. Pure functions, any thread.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/graph/graph.h"

namespace motet::ops {

// True if compute_from_data runs the op.
bool shaped_by_data(const graph::Node& node);

// The results, one per output (empty where the node leaves it out). `inputs`: one per node input, null where absent. An
// Error names what does not fit. REQUIRES: shaped_by_data(node).
Result<std::vector<Tensor>> compute_from_data(const graph::Node& node, std::span<const Tensor* const> inputs);

}  // namespace motet::ops
