#include "compute/engine/compile/storage.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace motet::engine {
namespace {

using graph::Graph;
using graph::kNoValue;
using graph::Node;
using graph::ValueId;

bool is_product(const Node& node) {
  static const std::set<std::string_view> kProducts = {"Conv", "ConvTranspose", "Gemm", "LSTM", "MatMul"};
  return node.domain.empty() && kProducts.contains(node.op);
}

// Ops that have kernels for bf16, or move elements whatever they are.
bool is_carrier(const Node& node) {
  static const std::set<std::string_view> kCarriers = {"Abs",
                                                       "Add",
                                                       "AveragePool",
                                                       "BatchNormalization",
                                                       "Clip",
                                                       "Concat",
                                                       "DepthToSpace",
                                                       "Div",
                                                       "Dropout",
                                                       "Elu",
                                                       "Erf",
                                                       "Exp",
                                                       "Expand",
                                                       "Flatten",
                                                       "Gather",
                                                       "Gelu",
                                                       "GlobalAveragePool",
                                                       "GlobalMaxPool",
                                                       "GroupNormalization",
                                                       "HardSigmoid",
                                                       "HardSwish",
                                                       "Identity",
                                                       "LayerNormalization",
                                                       "LeakyRelu",
                                                       "MaxPool",
                                                       "Mul",
                                                       "Neg",
                                                       "ReduceMean",
                                                       "Relu",
                                                       "Reshape",
                                                       "Resize",
                                                       "Sigmoid",
                                                       "Slice",
                                                       "Softmax",
                                                       "SpaceToDepth",
                                                       "Split",
                                                       "Sqrt",
                                                       "Squeeze",
                                                       "Sub",
                                                       "Swish",
                                                       "Tanh",
                                                       "Tile",
                                                       "Transpose",
                                                       "Unsqueeze"};
  return node.domain.empty() ? kCarriers.contains(node.op)
                             : node.domain == "motet" && (node.op == "ChannelShuffle" || node.op == "Attention");
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph) {
    storage_.values.resize(graph.values.size());
    storage_.nodes.resize(graph.nodes.size());
    wanted_.resize(graph.values.size());
    for (const Node& node : graph.nodes)
      if (is_product(node)) want(node);
    // Backwards, so that what only moves elements asks on behalf of those that read it.
    for (size_t n = graph.nodes.size(); n-- > 0;) {
      const Node& node = graph.nodes[n];
      bool asked = std::any_of(node.outputs.begin(), node.outputs.end(),
                               [&](ValueId id) { return id != kNoValue && wanted_[static_cast<size_t>(id)]; });
      if (asked && is_carrier(node) && node.inputs.size() == 1) want(node);
    }
    kept_.resize(graph.values.size());
    for (ValueId id : graph.inputs) kept_[static_cast<size_t>(id)] = true;
    for (ValueId id : graph.outputs) kept_[static_cast<size_t>(id)] = true;
  }

  Storage run() {
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      const Node& node = graph_.nodes[n];
      bool product = is_product(node) && is_float(node.inputs[0]);
      if (!product && !carries(node)) continue;
      for (ValueId id : node.outputs) {
        if (id == kNoValue || !is_float(id) || kept_[static_cast<size_t>(id)]) continue;
        storage_.values[static_cast<size_t>(id)] = true;
        storage_.nodes[n] = true;
      }
      if (product) storage_.nodes[n] = true;
    }
    return std::move(storage_);
  }

 private:
  bool is_float(ValueId id) const {
    return id != kNoValue && graph_.value(id).dtype == DType::kF32 && !graph_.value(id).constant;
  }

  void want(const Node& node) {
    for (ValueId id : node.inputs)
      if (is_float(id)) wanted_[static_cast<size_t>(id)] = true;
  }

  // True if a carrier reads bf16, or what it makes is read by a product.
  bool carries(const Node& node) const {
    if (!is_carrier(node) || node.inputs.empty() || !is_float(node.inputs[0])) return false;
    auto any = [](const std::vector<ValueId>& ids, const std::vector<bool>& marks) {
      return std::any_of(ids.begin(), ids.end(),
                         [&](ValueId id) { return id != kNoValue && marks[static_cast<size_t>(id)]; });
    };
    return any(node.inputs, storage_.values) || any(node.outputs, wanted_);
  }

  const Graph& graph_;
  Storage storage_;
  std::vector<bool> wanted_;  // per value: a product reads it, at once or through what moves elements
  std::vector<bool> kept_;    // per value: the model's own inputs and outputs
};

}  // namespace

Storage bf16_storage(const Graph& graph) { return Finder(graph).run(); }

}  // namespace motet::engine
