// The order in which a graph's nodes can run. ONNX asks for it in the file; files that have it otherwise are sorted,
// and cycles are refused. One thread at a time.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "compute/graph/onnx_records.h"

namespace motet::graph {

// The names that `node` reads: its inputs, and what its bodies take from outside themselves.
std::vector<std::string_view> names_read(const NodeRecord& node);

// Indices of `nodes` in an order in which every name is made before it is read; the file's own order if that will do.
// `makers` tells which node makes a name; names without maker come from elsewhere. An Error names a node of a cycle.
Result<std::vector<size_t>> topological_order(const std::vector<NodeRecord>& nodes,
                                              const std::unordered_map<std::string_view, size_t>& makers);

}  // namespace motet::graph
