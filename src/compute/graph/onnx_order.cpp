#include "compute/graph/onnx_order.h"

#include <queue>
#include <unordered_set>

#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// Appends the names that `graph` reads and does not define.
void free_names(const GraphRecord& graph, std::vector<std::string_view>& out) {
  std::unordered_set<std::string_view> defined;
  for (const auto& input : graph.inputs) defined.insert(input.name);
  for (const auto& tensor : graph.initializers) defined.insert(tensor.name);
  for (const auto& node : graph.nodes)
    for (std::string_view name : node.outputs) defined.insert(name);
  auto read = [&](std::string_view name) {
    if (!name.empty() && !defined.contains(name)) out.push_back(name);
  };
  for (const auto& node : graph.nodes)
    for (std::string_view name : names_read(node)) read(name);
  for (const auto& output : graph.outputs) read(output.name);
}

}  // namespace

std::vector<std::string_view> names_read(const NodeRecord& node) {
  std::vector<std::string_view> out;
  for (std::string_view name : node.inputs)
    if (!name.empty()) out.push_back(name);
  for (const auto& attribute : node.attributes)
    if (attribute.graph) free_names(*attribute.graph, out);
  return out;
}

Result<std::vector<size_t>> topological_order(const std::vector<NodeRecord>& nodes,
                                              const std::unordered_map<std::string_view, size_t>& makers) {
  std::vector<std::vector<size_t>> readers(nodes.size());
  std::vector<size_t> missing(nodes.size(), 0);
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (std::string_view name : names_read(nodes[i])) {
      auto maker = makers.find(name);
      if (maker == makers.end()) continue;
      readers[maker->second].push_back(i);
      ++missing[i];
    }
  }
  // The smallest ready index first keeps the file's order wherever it is valid.
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (missing[i] == 0) ready.push(i);
  std::vector<size_t> order;
  order.reserve(nodes.size());
  while (!ready.empty()) {
    size_t at = ready.top();
    ready.pop();
    order.push_back(at);
    for (size_t reader : readers[at])
      if (--missing[reader] == 0) ready.push(reader);
  }
  if (order.size() == nodes.size()) return order;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (missing[i] == 0) continue;
    return invalid_argument(nodes[i].path + ", byte " + std::to_string(nodes[i].offset) + ": " +
                            std::string(nodes[i].op) + " node " + in_quotes(nodes[i].name) +
                            " depends on its own result (a cycle)");
  }
  return internal_error("a cycle without a member");
}

}  // namespace motet::graph
