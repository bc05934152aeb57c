// Test help: runs small f32 graphs, fused or not, as plainly as their definitions read, so that a pass can be judged by
// what the graph computes before and after. Shapes must have been inferred. Not part of the library.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute/graph/graph.h"

namespace motet::graph::test {

using Floats = std::vector<float>;

// The outputs of `graph` for `inputs`, one list per graph input and output. A node that it does not know fails the
// test.
std::vector<Floats> interpret(const Graph& graph, const std::vector<Floats>& inputs);

}  // namespace motet::graph::test
