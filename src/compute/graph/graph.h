// The IR: a model's computation as a graph of ops over values. Built by the ONNX reader (onnx_reader.h), annotated by
// shape inference, rewritten by passes (pass.h), compiled by engine/. A Graph owns its nodes; constant tensors are
// views on the mapped file wherever the file allows it. One thread at a time; a finished Graph may be read from any
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"

namespace motet::graph {

// Index into Graph::values. kNoValue marks an optional input or output that is absent.
using ValueId = int32_t;
inline constexpr ValueId kNoValue = -1;

// One extent: a number, or a symbol ("N") that stands for the same unknown number wherever it occurs, or neither
// (unknown).
struct Dim {
  int64_t extent = -1;  // >= 0 when known
  std::string symbol;   // non-empty when symbolic; extent is then -1

  bool known() const { return extent >= 0; }
  friend bool operator==(const Dim&, const Dim&) = default;
};
using SymShape = std::vector<Dim>;

struct Value {
  std::string name;
  std::optional<DType> dtype;      // nothing until known
  std::optional<SymShape> shape;   // nothing while even the rank is unknown
  std::optional<Tensor> constant;  // an initializer or a folded result

  // The extents, if all are known.
  std::optional<Shape> static_shape() const;
};

class Graph;
using Attribute = std::variant<int64_t, float, std::string, Tensor, std::shared_ptr<const Graph>, std::vector<int64_t>,
                               std::vector<float>, std::vector<std::string>>;

// What a fused node does to its result, in order, before it is stored. Only fusion passes add these.
struct PostOp {
  enum class Kind : uint8_t {
    kRelu,
    kClip,
    kSigmoid,
    kTanh,
    kHardSigmoid,
    kHardSwish,
    kSwish,
    kLeakyRelu,
    kElu,
    kGeluErf,
    kGeluTanh,
    kAdd,  // adds the node's input number `input`, same shape as the output
  };
  Kind kind = Kind::kRelu;
  float alpha = 0;  // kClip: low; kLeakyRelu, kElu: slope; kHardSigmoid: alpha
  float beta = 0;   // kClip: high; kHardSigmoid: beta
  int input = -1;   // kAdd only
};

struct Node {
  std::string op;  // ONNX op_type; domain "" (ai.onnx) unless `domain` says otherwise
  std::string domain;
  std::string name;
  int opset = 0;  // version of the node's domain that the model imports
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::map<std::string, Attribute, std::less<>> attributes;
  std::vector<PostOp> post_ops;

  // The attribute's value, or `fallback` if absent. A present attribute of another type is refused by the reader's
  // checks and aborts here.
  int64_t int_or(std::string_view key, int64_t fallback) const;
  float float_or(std::string_view key, float fallback) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;
  std::vector<int64_t> ints_or(std::string_view key, std::vector<int64_t> fallback) const;
  std::vector<float> floats_or(std::string_view key, std::vector<float> fallback) const;
  const Attribute* find(std::string_view key) const;
  // The body of If, Loop and so on; nullptr if absent.
  std::shared_ptr<const Graph> graph_or_null(std::string_view key) const;
};

class Graph {
 public:
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;      // in topological order
  std::vector<ValueId> inputs;  // without initializers
  std::vector<ValueId> outputs;
  // Subgraphs only: values of enclosing graphs that this body reads, as (name in the outer graph, value here).
  std::vector<std::pair<std::string, ValueId>> captures;

  ValueId add_value(Value value);
  const Value& value(ValueId id) const { return values[static_cast<size_t>(id)]; }
  Value& value(ValueId id) { return values[static_cast<size_t>(id)]; }
  // The value of that name, or kNoValue. Linear; for tests and readers of small graphs.
  ValueId find(std::string_view value_name) const;

  // Names an invariant that is broken (an input no one makes, two makers, order, an id out of range), or succeeds. The
  // pass runner calls it after every pass in debug builds.
  Status verify() const;
};

}  // namespace motet::graph
