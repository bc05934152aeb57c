#include "compute/graph/rewrite.h"

#include <algorithm>

#include "base/check.h"
#include "compute/graph/infer.h"

namespace motet::graph {

std::vector<std::pair<std::string, std::shared_ptr<const Graph>>> bodies_of(const Node& node) {
  std::vector<std::pair<std::string, std::shared_ptr<const Graph>>> out;
  for (const auto& [key, attribute] : node.attributes) {
    const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute);
    if (body != nullptr) out.emplace_back(key, *body);
  }
  return out;
}

Rewriter::Rewriter(Graph& graph)
    : graph_(graph),
      makers_(graph.values.size(), -1),
      readers_(graph.values.size()),
      outputs_(graph.values.size(), false),
      captures_(graph.values.size(), 0),
      removed_(graph.nodes.size(), false) {
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    if (!bodies_of(graph.nodes[i]).empty()) with_bodies_.push_back(static_cast<int>(i));
  if (!with_bodies_.empty()) {
    for (size_t i = 0; i < graph.values.size(); ++i) by_name_.emplace(graph.values[i].name, static_cast<ValueId>(i));
  }
  for (ValueId id : graph.outputs) outputs_[static_cast<size_t>(id)] = true;
  for (int i = 0; i < node_count(); ++i) link(i);
}

bool Rewriter::is_input(ValueId id) const {
  return std::find(graph_.inputs.begin(), graph_.inputs.end(), id) != graph_.inputs.end();
}

void Rewriter::link(int index) {
  const Node& n = node(index);
  for (ValueId id : n.inputs)
    if (id != kNoValue) readers_[static_cast<size_t>(id)].push_back(index);
  for (ValueId id : n.outputs)
    if (id != kNoValue) makers_[static_cast<size_t>(id)] = index;
  for (const auto& [key, body] : bodies_of(n)) {
    for (const auto& [name, inner] : body->captures) {
      auto found = by_name_.find(name);
      if (found != by_name_.end()) ++captures_[static_cast<size_t>(found->second)];
    }
  }
}

void Rewriter::unlink(int index) {
  const Node& n = node(index);
  for (ValueId id : n.inputs) {
    if (id == kNoValue) continue;
    auto& list = readers_[static_cast<size_t>(id)];
    auto at = std::find(list.begin(), list.end(), index);
    if (at != list.end()) list.erase(at);
  }
  for (ValueId id : n.outputs)
    if (id != kNoValue && maker(id) == index) makers_[static_cast<size_t>(id)] = -1;
  for (const auto& [key, body] : bodies_of(n)) {
    for (const auto& [name, inner] : body->captures) {
      auto found = by_name_.find(name);
      if (found != by_name_.end()) --captures_[static_cast<size_t>(found->second)];
    }
  }
}

void Rewriter::put(int index, Node node) {
  unlink(index);
  graph_.nodes[static_cast<size_t>(index)] = std::move(node);
  link(index);
}

void Rewriter::remove(int index) {
  unlink(index);
  removed_[static_cast<size_t>(index)] = true;
}

void Rewriter::insert_before(int index, Node node) { inserted_[index].push_back(std::move(node)); }

void Rewriter::rename_captures(ValueId from, ValueId to) {
  if (captures_[static_cast<size_t>(from)] == 0) return;
  const std::string old_name = value(from).name, new_name = value(to).name;
  for (int index : with_bodies_) {
    if (removed(index)) continue;
    Node& n = graph_.nodes[static_cast<size_t>(index)];
    for (const auto& [key, body] : bodies_of(n)) {
      bool reads =
          std::any_of(body->captures.begin(), body->captures.end(), [&](const auto& c) { return c.first == old_name; });
      if (!reads) continue;
      auto copy = std::make_shared<Graph>(*body);
      for (auto& capture : copy->captures) {
        if (capture.first != old_name) continue;
        capture.first = new_name;
        --captures_[static_cast<size_t>(from)];
        ++captures_[static_cast<size_t>(to)];
      }
      n.attributes.insert_or_assign(key, Attribute(std::shared_ptr<const Graph>(std::move(copy))));
    }
  }
}

void Rewriter::redirect(ValueId from, ValueId to) {
  auto readers = std::move(readers_[static_cast<size_t>(from)]);
  readers_[static_cast<size_t>(from)].clear();
  for (int index : readers) {
    for (ValueId& id : graph_.nodes[static_cast<size_t>(index)].inputs)
      if (id == from) id = to;
    readers_[static_cast<size_t>(to)].push_back(index);
  }
  rename_captures(from, to);
}

void Rewriter::rename(ValueId from, ValueId to) {
  int index = maker(from);
  MOTET_CHECK(index >= 0 && maker(to) < 0, "rename() of a value without maker, or to one with");
  for (ValueId& id : graph_.nodes[static_cast<size_t>(index)].outputs)
    if (id == from) id = to;
  makers_[static_cast<size_t>(from)] = -1;
  makers_[static_cast<size_t>(to)] = index;
  redirect(from, to);
}

std::string Rewriter::fresh_name(std::string_view base) {
  if (!names_) {
    names_.emplace();
    for (const Value& v : graph_.values) names_->add(v.name);
  }
  return names_->fresh(std::string(base));
}

ValueId Rewriter::add_value(std::string_view base, std::optional<DType> dtype, std::optional<SymShape> shape) {
  Value fresh;
  fresh.name = fresh_name(base);
  fresh.dtype = dtype;
  fresh.shape = std::move(shape);
  if (!with_bodies_.empty()) by_name_.emplace(fresh.name, static_cast<ValueId>(graph_.values.size()));
  ValueId id = graph_.add_value(std::move(fresh));
  makers_.push_back(-1);
  readers_.emplace_back();
  outputs_.push_back(false);
  captures_.push_back(0);
  return id;
}

ValueId Rewriter::add_constant(std::string_view base, Tensor tensor) {
  ValueId id = add_value(base, tensor.dtype(), shape_of(tensor.shape()));
  graph_.value(id).constant = std::move(tensor);
  return id;
}

void Rewriter::finish() {
  std::vector<Node> nodes;
  nodes.reserve(graph_.nodes.size());
  for (int i = 0; i < node_count(); ++i) {
    auto before = inserted_.find(i);
    if (before != inserted_.end()) std::move(before->second.begin(), before->second.end(), std::back_inserter(nodes));
    if (!removed(i)) nodes.push_back(std::move(graph_.nodes[static_cast<size_t>(i)]));
  }
  graph_.nodes = std::move(nodes);
}

int rewrite_each(Rewriter& rewriter, const std::function<bool(int node)>& rewrite) {
  int rewrites = 0;
  for (int i = 0; i < rewriter.node_count(); ++i)
    if (!rewriter.removed(i) && rewrite(i)) ++rewrites;
  rewriter.finish();
  return rewrites;
}

std::optional<std::span<const float>> floats_of(const Value& value) {
  if (!value.constant || value.constant->dtype() != DType::kF32) return std::nullopt;
  return value.constant->view().as<const float>();
}

std::optional<float> scalar_of(const Value& value) {
  if (!value.constant || value.constant->elements() != 1) return std::nullopt;
  auto list = floats_of(value);
  if (!list) return std::nullopt;
  return list->front();
}

std::optional<std::vector<float>> per_channel(const Value& value, size_t rank, size_t axis, int64_t channels) {
  if (!value.constant || value.constant->shape().size() > rank) return std::nullopt;
  const Shape& shape = value.constant->shape();
  size_t shift = rank - shape.size();
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != 1 && !(i + shift == axis && shape[i] == channels)) return std::nullopt;
  auto list = floats_of(value);
  if (!list) return std::nullopt;
  if (list->size() == 1) return std::vector<float>(static_cast<size_t>(channels), list->front());
  return std::vector<float>(list->begin(), list->end());
}

}  // namespace motet::graph
