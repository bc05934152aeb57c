// Nodes, captures and constants that nothing needs.
#include <unordered_map>

#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {

Result<int> eliminate_dead(Graph& graph, const PassContext& context) {
  (void)context;
  std::unordered_map<std::string_view, ValueId> by_name;
  for (size_t i = 0; i < graph.values.size(); ++i) by_name.emplace(graph.values[i].name, static_cast<ValueId>(i));
  std::vector<bool> live(graph.values.size(), false);
  for (ValueId id : graph.outputs) live[static_cast<size_t>(id)] = true;
  std::vector<bool> keep(graph.nodes.size(), false);
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    for (ValueId id : node.outputs) keep[i] = keep[i] || (id != kNoValue && live[static_cast<size_t>(id)]);
    if (!keep[i]) continue;
    for (ValueId id : node.inputs)
      if (id != kNoValue) live[static_cast<size_t>(id)] = true;
    for (const auto& [key, body] : bodies_of(node)) {
      for (const auto& [name, inner] : body->captures) {
        auto found = by_name.find(name);
        if (found != by_name.end()) live[static_cast<size_t>(found->second)] = true;
      }
    }
  }
  int rewrites = 0;
  std::vector<Node> nodes;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (keep[i]) nodes.push_back(std::move(graph.nodes[i]));
    if (!keep[i]) ++rewrites;
  }
  graph.nodes = std::move(nodes);
  rewrites += static_cast<int>(
      std::erase_if(graph.captures, [&](const auto& capture) { return !live[static_cast<size_t>(capture.second)]; }));
  // Weights that were folded into others give their memory back.
  for (size_t i = 0; i < graph.values.size(); ++i)
    if (!live[i]) graph.values[i].constant.reset();
  return rewrites;
}

}  // namespace motet::graph
