// One node by itself: what folding and programs whose shapes depend on data plan and run. Pure functions, any thread.
#pragma once

#include <span>

#include "compute/ops/kernel.h"

namespace motet::ops {

// What is known of an input before its node is planned.
struct KnownInput {
  TensorSpec spec;
  const Tensor* value = nullptr;  // null where planning goes by type and extents alone
};

// `node` alone in a graph, with the types and extents of its outputs inferred; absent inputs are those that the node
// leaves out. An Error tells why the node cannot run on these, or that the extents of an output do not follow from
// them.
Result<graph::Graph> infer_node(const graph::Node& node, std::span<const KnownInput> inputs);

// True if the value of `input`, not only its type and extents, decides how `node` is planned or which extents its
// outputs have: the shape of Reshape, the axes of ReduceSum. It must be known before planning.
bool reads_when_planned(const graph::Node& node, size_t input);

}  // namespace motet::ops
