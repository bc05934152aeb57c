// Records to Graph: names become values, nodes are put in topological order, bodies of If and Loop get their captures,
// and the model's own functions are inlined where they are called. Every name, order, arity and attribute type is
// checked here. One thread at a time.
#pragma once

#include <memory>

#include "compute/graph/graph.h"
#include "compute/graph/onnx_records.h"
#include "compute/graph/onnx_tensor.h"

namespace motet::graph {

// Versions of the standard domain that we read.
inline constexpr int64_t kMinOpset = 7;
inline constexpr int64_t kMaxOpset = 28;

// An Error names the node or value, and its place in the file. REQUIRES: record.graph.
Result<std::shared_ptr<Graph>> build_graph(const ModelRecord& record, TensorSource& source);

}  // namespace motet::graph
