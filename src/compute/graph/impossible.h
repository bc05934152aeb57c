// A branch that these shapes rule out: models keep branches for other input sizes beside the one that will be taken
// (Silero's 8 kHz network beside the 16 kHz one), and the condition is data. Such a branch must not keep the model from
// loading, and must fail if it is taken all the same. One thread at a time.
#pragma once

#include "compute/graph/graph.h"

namespace motet::graph {

// A body for If that faults when run: it gathers at an index out of range, made of `condition`, the name of the If's
// condition, which is `taken` whenever the body runs. Its outputs have the types and shapes of `like`, and its name
// tells `reason`. Nothing if the shape or type of one of `like` is not known.
std::shared_ptr<const Graph> impossible_body(const Value& condition, bool taken, const std::vector<Value>& like,
                                             const std::string& reason);

}  // namespace motet::graph
