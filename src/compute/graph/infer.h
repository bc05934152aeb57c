// Shape inference from the inside: one rule per op, in tables by family (infer_*.cpp), run by the driver in infer.cpp.
// A rule sees one node with what is known of its inputs and says what is known of its outputs; what it cannot know it
// leaves open, and it returns an Error only for what can never run. One thread at a time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/graph/graph.h"
#include "compute/graph/pass.h"

namespace motet::graph {

// One integer of a tensor: known, or the number that a symbol stands for, or unknown.
struct Int {
  std::optional<int64_t> value;
  std::string symbol;  // empty if the value is known

  static Int of(const Dim& dim) { return dim.known() ? Int{dim.extent, ""} : Int{std::nullopt, dim.symbol}; }
  // As an extent; unknown if negative.
  Dim dim() const { return value ? Dim{*value >= 0 ? *value : -1, ""} : Dim{-1, symbol}; }
};
// The integers of a scalar or a list: how a shape travels from Shape to Reshape while the batch is still a symbol.
using IntData = std::vector<Int>;

// Longest list that IntData follows.
inline constexpr size_t kMaxIntData = 256;
// Ranks beyond this are refused, so that no op can make shapes of unbounded length.
inline constexpr size_t kMaxInferredRank = 64;

class Inference;
using Rule = Status (*)(Inference& n);

struct RuleRow {
  std::string_view op;
  Rule rule;
};

// The tables, one per family.
std::span<const RuleRow> elementwise_rules();
std::span<const RuleRow> window_rules();
std::span<const RuleRow> linear_rules();
std::span<const RuleRow> recurrent_rules();
std::span<const RuleRow> shape_rules();
std::span<const RuleRow> index_rules();
std::span<const RuleRow> reduce_rules();
std::span<const RuleRow> image_rules();
std::span<const RuleRow> quantize_rules();
std::span<const RuleRow> attention_rules();
std::span<const RuleRow> control_rules();
// Ops of other domains, under "domain:Op".
std::span<const RuleRow> contrib_rules();

// How deep in bodies we are, and how many more nodes may be looked at in all: a loop infers its body several times, so
// loops in loops multiply.
struct Nesting {
  int depth = 0;
  int64_t* visits_left = nullptr;
};

// One node under its rule.
class Inference {
 public:
  Inference(Graph& graph, Node& node, std::vector<std::optional<IntData>>& data, const PassContext& context,
            Nesting nesting)
      : graph_(graph), node_(node), data_(data), context_(context), nesting_(nesting) {}

  const Node& node() const { return node_; }
  Node& mutable_node() { return node_; }
  Graph& graph() { return graph_; }
  const PassContext& context() const { return context_; }
  // For the node's bodies.
  Nesting deeper() const { return {nesting_.depth + 1, nesting_.visits_left}; }

  size_t input_count() const { return node_.inputs.size(); }
  size_t output_count() const { return node_.outputs.size(); }
  bool has(size_t i) const { return i < node_.inputs.size() && node_.inputs[i] != kNoValue; }
  bool makes(size_t o) const { return o < node_.outputs.size() && node_.outputs[o] != kNoValue; }
  // What is known of input i; nothing if it is absent.
  std::optional<DType> dtype(size_t i) const;
  const SymShape* shape(size_t i) const;
  const Tensor* constant(size_t i) const;
  std::optional<size_t> rank(size_t i) const;
  // The elements of an integer input of rank 0 or 1, as far as known.
  std::optional<IntData> data(size_t i) const;
  // The same if every element is known.
  std::optional<std::vector<int64_t>> ints(size_t i) const;

  // What is known of output o; ignored if the node does not make it.
  void set(size_t o, std::optional<DType> dtype, std::optional<SymShape> shape);
  void set_data(size_t o, IntData data);

  // REQUIRES (for the caller to go on): input i has a rank between low and high if it is known.
  Status check_rank(size_t i, size_t low, size_t high = kMaxInferredRank) const;
  // `axis` counted from the front, or an Error.
  Result<size_t> axis(int64_t axis, size_t rank) const;
  Result<std::vector<size_t>> axes(const std::vector<int64_t>& list, size_t rank) const;
  Error error(const std::string& what) const;

 private:
  Graph& graph_;
  Node& node_;
  std::vector<std::optional<IntData>>& data_;
  const PassContext& context_;
  Nesting nesting_;
};

// A list of axes given as attribute `key` (older opsets) or as input `i`.
struct AxisList {
  bool present = false;                        // false: the op's default applies
  std::optional<std::vector<int64_t>> values;  // nothing while the input is not known
};
AxisList axis_list(const Inference& n, std::string_view key, size_t i);

// infer_shapes for a body.
Status infer_graph(Graph& graph, const PassContext& context, Nesting nesting);

// --- extents ---------------------------------------------------------------------------------------------------------
inline Dim dim_of(int64_t extent) { return Dim{extent, ""}; }
inline Dim unknown_dim() { return Dim{}; }
SymShape unknown_shape(size_t rank);
SymShape shape_of(std::span<const int64_t> extents);
std::string shape_text(const SymShape& shape);
// True if both are known and differ.
bool conflict(const Dim& a, const Dim& b);
// The same number for certain: equal extents or equal symbols.
bool same(const Dim& a, const Dim& b);
bool same(const SymShape& a, const SymShape& b);
// What holds of both, where they may be two views of one number: the known one wins.
Dim merge(const Dim& a, const Dim& b);
// What holds whichever of the two applies: equal or unknown.
Dim either(const Dim& a, const Dim& b);
Dim add(const Dim& a, int64_t b);
Dim add(const Dim& a, const Dim& b);
// Unknown on overflow.
Dim multiply(const Dim& a, const Dim& b);
// Numpy's rule. `error` of the node names both shapes.
Result<SymShape> broadcast(const Inference& n, const SymShape& a, const SymShape& b);

}  // namespace motet::graph
