// If with a known condition: the body's nodes move into the graph, under fresh names where a name is taken.
#include <unordered_map>

#include "compute/graph/names.h"
#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

class Inliner {
 public:
  explicit Inliner(Graph& graph) : graph_(graph) {
    for (size_t i = 0; i < graph.values.size(); ++i) {
      ids_.emplace(graph.values[i].name, static_cast<ValueId>(i));
      names_.add(graph.values[i].name);
    }
  }

  int run() {
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : old) place(std::move(node));
    return inlined_;
  }

 private:
  // Appends the node, or in its stead the branch that is taken.
  void place(Node node) {
    auto body = taken(node);
    if (!body) {
      graph_.nodes.push_back(std::move(node));
      return;
    }
    ++inlined_;
    splice(node, *body);
  }

  std::shared_ptr<const Graph> taken(const Node& node) const {
    if (node.op != "If" || !node.domain.empty() || node.inputs.empty() || node.inputs[0] == kNoValue) return nullptr;
    const auto& condition = graph_.value(node.inputs[0]).constant;
    if (!condition || condition->dtype() != DType::kBool || condition->elements() != 1) return nullptr;
    auto body = node.graph_or_null(condition->view().as<const bool>()[0] ? "then_branch" : "else_branch");
    if (!body || body->outputs.size() != node.outputs.size()) return nullptr;
    for (const auto& [outer, id] : body->captures)
      if (!ids_.contains(outer)) return nullptr;
    return body;
  }

  void splice(const Node& node, const Graph& body) {
    std::vector<ValueId> map(body.values.size(), kNoValue);
    for (const auto& [outer, id] : body.captures) map[static_cast<size_t>(id)] = ids_.at(outer);
    // Results made by a node of the body get the If's own values, so that names of outputs stay.
    std::vector<bool> made(body.values.size(), false);
    for (const Node& inner : body.nodes)
      for (ValueId id : inner.outputs)
        if (id != kNoValue) made[static_cast<size_t>(id)] = true;
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      auto inner = static_cast<size_t>(body.outputs[o]);
      if (node.outputs[o] == kNoValue || !made[inner] || map[inner] != kNoValue) continue;
      map[inner] = node.outputs[o];
      Value& value = graph_.value(node.outputs[o]);
      value.constant = body.values[inner].constant;
      if (body.values[inner].dtype) value.dtype = body.values[inner].dtype;
    }
    std::unordered_map<std::string, std::string> renamed;
    for (size_t i = 0; i < body.values.size(); ++i) {
      if (map[i] == kNoValue) map[i] = adopt(body.values[i]);
      renamed.emplace(body.values[i].name, graph_.value(map[i]).name);
    }
    for (const Node& inner : body.nodes) place(moved(inner, map, renamed));
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      ValueId from = map[static_cast<size_t>(body.outputs[o])];
      if (node.outputs[o] != kNoValue && from != node.outputs[o]) copy(node, from, node.outputs[o]);
    }
  }

  ValueId adopt(Value value) {
    value.name = names_.fresh(value.name);
    ids_.emplace(value.name, static_cast<ValueId>(graph_.values.size()));
    return graph_.add_value(std::move(value));
  }

  static Node moved(const Node& inner, const std::vector<ValueId>& map,
                    const std::unordered_map<std::string, std::string>& renamed) {
    Node out = inner;
    for (ValueId& id : out.inputs)
      if (id != kNoValue) id = map[static_cast<size_t>(id)];
    for (ValueId& id : out.outputs)
      if (id != kNoValue) id = map[static_cast<size_t>(id)];
    for (const auto& [key, body] : bodies_of(out)) {
      auto nested = std::make_shared<Graph>(*body);
      for (auto& capture : nested->captures) {
        auto found = renamed.find(capture.first);
        if (found != renamed.end()) capture.first = found->second;
      }
      out.attributes.insert_or_assign(key, Attribute(std::shared_ptr<const Graph>(std::move(nested))));
    }
    return out;
  }

  // A result that is a captured value, a constant, or the same as another result.
  void copy(const Node& node, ValueId from, ValueId to) {
    Node identity;
    identity.op = "Identity";
    identity.name = node.name;
    identity.opset = node.opset;
    identity.inputs = {from};
    identity.outputs = {to};
    graph_.nodes.push_back(std::move(identity));
  }

  Graph& graph_;
  std::unordered_map<std::string, ValueId> ids_;
  NamePool names_;
  int inlined_ = 0;
};

}  // namespace

Result<int> inline_if(Graph& graph, const PassContext& context) {
  (void)context;
  for (const Node& node : graph.nodes)
    if (node.op == "If") return Inliner(graph).run();
  return 0;
}

}  // namespace motet::graph
