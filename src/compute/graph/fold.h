// Folding one node: asks the evaluator for the results of constant inputs and keeps them as constants. Used while
// inferring (small results) and by the pass fold-constants (all). One thread at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "compute/graph/graph.h"
#include "compute/graph/pass.h"

namespace motet::graph {

// True if the node's results are the same each time and depend on constants only.
bool foldable(const Graph& graph, const Node& node);
// Bytes of all its results, if their shapes and types are known, or bounded for the few ops whose results depend on
// data.
std::optional<int64_t> folded_bytes(const Graph& graph, const Node& node);
// Evaluates, and sets constant, dtype and shape of each output; false if the evaluator cannot, or answers what does not
// fit.
bool fold_node(Graph& graph, const Node& node, const Evaluator& evaluate);

}  // namespace motet::graph
