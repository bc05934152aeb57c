// Which values of a graph a reduced precision keeps as bf16: results of convolutions and products, and what flows
// between them through ops that can carry bf16, so that a chain converts at its ends only. A wish: where no kernel
// takes it, the lowering keeps the value in f32. Private to compute/engine. Pure.
#pragma once

#include <vector>

#include "compute/graph/graph.h"

namespace motet::engine {

struct Storage {
  std::vector<bool> values;  // per value: keep it as bf16
  std::vector<bool> nodes;   // per node: give it its f32 operands as bf16
};

// Graph inputs and outputs stay as the model declares them.
Storage bf16_storage(const graph::Graph& graph);

}  // namespace motet::engine
