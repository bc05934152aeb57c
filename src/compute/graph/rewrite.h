// Rewriter: edits a Graph for a pass while it keeps, up to date, who makes and who reads each value. Nodes keep their
// places (a fused node takes the place of the last node it replaces, so that the order stays valid); removed and
// inserted ones take effect in finish(). One thread; the graph must not be edited otherwise in between.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compute/graph/graph.h"
#include "compute/graph/names.h"

namespace motet::graph {

class Rewriter {
 public:
  explicit Rewriter(Graph& graph);

  Graph& graph() { return graph_; }
  int node_count() const { return static_cast<int>(graph_.nodes.size()); }
  bool removed(int node) const { return removed_[static_cast<size_t>(node)]; }
  const Node& node(int index) const { return graph_.nodes[static_cast<size_t>(index)]; }
  const Value& value(ValueId id) const { return graph_.value(id); }

  // The node that makes the value, or -1.
  int maker(ValueId id) const { return makers_[static_cast<size_t>(id)]; }
  // True if the value is a graph output or is captured by a body.
  bool seen_outside(ValueId id) const { return is_output(id) || captures_[static_cast<size_t>(id)] > 0; }
  bool is_output(ValueId id) const { return outputs_[static_cast<size_t>(id)]; }
  bool is_input(ValueId id) const;
  // True if exactly one node input reads it and nothing outside does.
  bool read_once(ValueId id) const { return readers_[static_cast<size_t>(id)].size() == 1 && !seen_outside(id); }
  bool unread(ValueId id) const { return readers_[static_cast<size_t>(id)].empty() && !seen_outside(id); }
  // REQUIRES: read_once(id).
  int only_reader(ValueId id) const { return readers_[static_cast<size_t>(id)].front(); }
  const std::vector<int>& readers(ValueId id) const { return readers_[static_cast<size_t>(id)]; }

  // Replaces the node at `index`; outputs that only the old one made become unmade.
  void put(int index, Node node);
  void remove(int index);
  void insert_before(int index, Node node);
  // Lets every reader of `from`, bodies included, read `to`. Graph outputs stay. REQUIRES: `to` is made before all of
  // them.
  void redirect(ValueId from, ValueId to);
  // Makes the maker of `from` produce `to` instead, and lets every reader of `from` read `to`. REQUIRES: a node makes
  // `from`, no node makes `to`.
  void rename(ValueId from, ValueId to);

  // A new value with a name that no other has.
  ValueId add_value(std::string_view base, std::optional<DType> dtype, std::optional<SymShape> shape);
  ValueId add_constant(std::string_view base, Tensor tensor);

  // Carries out removals and insertions. The Rewriter is spent.
  void finish();

 private:
  void link(int index);
  void unlink(int index);
  std::string fresh_name(std::string_view base);
  void rename_captures(ValueId from, ValueId to);

  Graph& graph_;
  std::vector<int> makers_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> outputs_;
  std::vector<int> captures_;
  std::vector<bool> removed_;
  std::map<int, std::vector<Node>> inserted_;
  std::vector<int> with_bodies_;                      // nodes with bodies
  std::unordered_map<std::string, ValueId> by_name_;  // filled if there are bodies
  std::optional<NamePool> names_;                     // filled when a name is first needed
};

// Tries `rewrite` on each node that is still there, first to last, and finishes; how many it rewrote.
int rewrite_each(Rewriter& rewriter, const std::function<bool(int node)>& rewrite);

// The bodies of a node, with the attribute that holds each.
std::vector<std::pair<std::string, std::shared_ptr<const Graph>>> bodies_of(const Node& node);

// The only element of a float constant, if it has one element.
std::optional<float> scalar_of(const Value& value);
// The floats of a constant f32 tensor; nothing if it is another type or not constant.
std::optional<std::span<const float>> floats_of(const Value& value);
// A constant that broadcasts to `channels` numbers along dimension `axis` of a tensor of rank `rank`, as that list.
std::optional<std::vector<float>> per_channel(const Value& value, size_t rank, size_t axis, int64_t channels);

}  // namespace motet::graph
