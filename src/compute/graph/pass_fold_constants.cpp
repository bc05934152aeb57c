// Nodes whose inputs are all constant are computed once, here, within bounds: a small file must not unfold into a large
// memory.
#include "base/tensor/tensor.h"
#include "compute/graph/fold.h"
#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

// A result may be this large, or as large as the constants it is made of (a transposed weight).
constexpr int64_t kMaxResultBytes = 64 << 20;
// All results of one graph together, beside as much again as its constants take.
constexpr int64_t kMaxTotalBytes = 512 << 20;

int64_t constant_bytes(const Graph& graph) {
  int64_t total = 0;
  for (const Value& value : graph.values)
    if (value.constant) total += static_cast<int64_t>(value.constant->bytes());
  return total;
}

int64_t input_bytes(const Graph& graph, const Node& node) {
  int64_t total = 0;
  for (ValueId id : node.inputs)
    if (id != kNoValue) total += static_cast<int64_t>(graph.value(id).constant->bytes());
  return total;
}

bool folded(const Graph& graph, const Node& node) {
  for (ValueId id : node.outputs)
    if (id != kNoValue && !graph.value(id).constant) return false;
  return !node.outputs.empty();
}

// A capture whose value is known outside is a constant of the body.
int settle_captures(Graph& graph) {
  return static_cast<int>(std::erase_if(
      graph.captures, [&](const auto& capture) { return graph.value(capture.second).constant.has_value(); }));
}

}  // namespace

Result<int> fold_constants(Graph& graph, const PassContext& context) {
  int rewrites = settle_captures(graph);
  int64_t budget = kMaxTotalBytes + constant_bytes(graph);
  Rewriter rewriter(graph);
  for (int i = 0; i < rewriter.node_count(); ++i) {
    const Node& node = rewriter.node(i);
    if (!folded(graph, node)) {
      if (!context.evaluate || !foldable(graph, node)) continue;
      auto bytes = folded_bytes(graph, node);
      if (!bytes || *bytes > budget || *bytes > std::max(kMaxResultBytes, input_bytes(graph, node))) continue;
      if (!fold_node(graph, node, context.evaluate)) continue;
      budget -= *bytes;
    }
    rewriter.remove(i);
    ++rewrites;
  }
  rewriter.finish();
  return rewrites;
}

}  // namespace motet::graph
