// What the reader demands of a node before anyone else sees it: how many inputs and outputs an ONNX op may have and of
// which type each of its attributes is, over all its versions in opsets 7 to 28. So a required input is always present,
// and the typed accessors of Node (int_or and so on) cannot meet an attribute of another type. Any thread.
#pragma once

#include <string_view>

#include "base/result.h"
#include "compute/graph/graph.h"

namespace motet::graph {

// Checks `node` against the table. Ops of other domains, and ops that the table does not know, are held to the
// attribute types by which ONNX uses those names ("axis" is an int wherever it occurs).
Status check_node(const Node& node);

// True if `op` of the standard domain is in the table.
bool is_standard_op(std::string_view op);

}  // namespace motet::graph
