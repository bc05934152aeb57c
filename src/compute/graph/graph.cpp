#include "compute/graph/graph.h"

#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "compute/graph/text.h"

namespace motet::graph {
namespace {

template <class T>
T attribute_or(const Attribute* attribute, T fallback) {
  if (attribute == nullptr) return fallback;
  const T* value = std::get_if<T>(attribute);
  MOTET_CHECK(value != nullptr, "an attribute read as another type");
  return *value;
}

std::string node_title(const Node& node) {
  return node.op + (node.name.empty() ? std::string(" node") : " node " + in_quotes(node.name));
}

// One graph under Graph::verify: which values have been made so far.
class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), made_(graph.values.size(), false) {}

  Status run() {
    MOTET_RETURN_IF_ERROR(names());
    MOTET_RETURN_IF_ERROR(sources());
    for (const Node& node : graph_.nodes) MOTET_RETURN_IF_ERROR(check(node));
    for (ValueId id : graph_.outputs) {
      if (!in_range(id)) return broken("output id " + std::to_string(id) + " is out of range");
      if (!made_[static_cast<size_t>(id)])
        return broken("output " + in_quotes(graph_.value(id).name) + " is made by no one");
    }
    return {};
  }

 private:
  bool in_range(ValueId id) const { return id >= 0 && static_cast<size_t>(id) < graph_.values.size(); }
  Error broken(const std::string& what) const {
    return internal_error("graph " + in_quotes(graph_.name) + ": " + what);
  }

  Status names() {
    for (size_t i = 0; i < graph_.values.size(); ++i) {
      const std::string& name = graph_.values[i].name;
      if (name.empty()) return broken("value " + std::to_string(i) + " has no name");
      if (!ids_.emplace(name, static_cast<ValueId>(i)).second) return broken("two values are named " + in_quotes(name));
    }
    return {};
  }

  Status make(ValueId id, std::string_view by) {
    if (!in_range(id)) return broken(std::string(by) + " makes value id " + std::to_string(id) + ", out of range");
    if (made_[static_cast<size_t>(id)]) {
      return broken("value " + in_quotes(graph_.value(id).name) + " is made twice, last by " + std::string(by));
    }
    made_[static_cast<size_t>(id)] = true;
    return {};
  }

  // Inputs, captures, and constants that no node makes.
  Status sources() {
    for (ValueId id : graph_.inputs) MOTET_RETURN_IF_ERROR(make(id, "an input"));
    for (const auto& [outer, id] : graph_.captures) MOTET_RETURN_IF_ERROR(make(id, "a capture"));
    std::vector<bool> by_node(graph_.values.size(), false);
    for (const Node& node : graph_.nodes)
      for (ValueId id : node.outputs)
        if (in_range(id)) by_node[static_cast<size_t>(id)] = true;
    for (size_t i = 0; i < graph_.values.size(); ++i)
      if (graph_.values[i].constant && !by_node[i]) made_[i] = true;
    return {};
  }

  Status check(const Node& node) {
    const std::string title = node_title(node);
    for (ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      if (!in_range(id)) return broken(title + " reads value id " + std::to_string(id) + ", out of range");
      if (!made_[static_cast<size_t>(id)]) {
        return broken(title + " reads " + in_quotes(graph_.value(id).name) + " before it is made");
      }
    }
    for (const PostOp& post : node.post_ops) {
      if (post.kind != PostOp::Kind::kAdd) continue;
      bool sound = post.input >= 0 && static_cast<size_t>(post.input) < node.inputs.size() &&
                   node.inputs[static_cast<size_t>(post.input)] != kNoValue;
      if (!sound) return broken(title + " adds its input number " + std::to_string(post.input) + ", which it has not");
    }
    for (const auto& [key, attribute] : node.attributes) {
      const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
      if (body != nullptr) MOTET_RETURN_IF_ERROR(check_body(title, **body));
    }
    for (ValueId id : node.outputs)
      if (id != kNoValue) MOTET_RETURN_IF_ERROR(make(id, title));
    return {};
  }

  Status check_body(const std::string& title, const Graph& body) {
    for (const auto& [outer, id] : body.captures) {
      auto found = ids_.find(outer);
      if (found == ids_.end() || !made_[static_cast<size_t>(found->second)]) {
        return broken(title + ": its body captures " + in_quotes(outer) + ", which is not made before it");
      }
    }
    return Verifier(body).run();
  }

  const Graph& graph_;
  std::vector<bool> made_;
  std::unordered_map<std::string_view, ValueId> ids_;
};

}  // namespace

std::optional<Shape> Value::static_shape() const {
  if (!shape) return std::nullopt;
  Shape out;
  out.reserve(shape->size());
  for (const Dim& dim : *shape) {
    if (!dim.known()) return std::nullopt;
    out.push_back(dim.extent);
  }
  return out;
}

const Attribute* Node::find(std::string_view key) const {
  auto found = attributes.find(key);
  return found == attributes.end() ? nullptr : &found->second;
}

int64_t Node::int_or(std::string_view key, int64_t fallback) const { return attribute_or(find(key), fallback); }
float Node::float_or(std::string_view key, float fallback) const { return attribute_or(find(key), fallback); }

std::string Node::string_or(std::string_view key, std::string_view fallback) const {
  return attribute_or(find(key), std::string(fallback));
}

std::vector<int64_t> Node::ints_or(std::string_view key, std::vector<int64_t> fallback) const {
  return attribute_or(find(key), std::move(fallback));
}

std::vector<float> Node::floats_or(std::string_view key, std::vector<float> fallback) const {
  return attribute_or(find(key), std::move(fallback));
}

std::shared_ptr<const Graph> Node::graph_or_null(std::string_view key) const {
  return attribute_or(find(key), std::shared_ptr<const Graph>());
}

ValueId Graph::add_value(Value value) {
  values.push_back(std::move(value));
  return static_cast<ValueId>(values.size() - 1);
}

ValueId Graph::find(std::string_view value_name) const {
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].name == value_name) return static_cast<ValueId>(i);
  return kNoValue;
}

Status Graph::verify() const { return Verifier(*this).run(); }

}  // namespace motet::graph
