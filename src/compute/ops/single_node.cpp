#include "compute/ops/single_node.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "compute/graph/pass.h"

namespace motet::ops {
namespace {

constexpr uint32_t bits(std::initializer_list<int> inputs) {
  uint32_t mask = 0;
  for (int input : inputs) mask |= 1U << input;
  return mask;
}

struct ReadRow {
  std::string_view op;
  uint32_t inputs;  // a bit for each
};

// Sorted by name.
constexpr auto kRead = std::to_array<ReadRow>({
    {"AffineGrid", bits({1})},
    {"BlackmanWindow", bits({0})},
    {"CenterCropPad", bits({1})},
    {"Col2Im", bits({1, 2})},
    {"ConstantOfShape", bits({0})},
    {"CumProd", bits({1})},
    {"CumSum", bits({1})},
    {"DFT", bits({1, 2})},
    {"Dropout", bits({2})},
    {"Expand", bits({1})},
    {"HammingWindow", bits({0})},
    {"HannWindow", bits({0})},
    {"MaxUnpool", bits({2})},
    {"MelWeightMatrix", bits({0, 1, 2, 3, 4})},
    {"OneHot", bits({1})},
    {"Pad", bits({1, 3})},
    {"Range", bits({0, 1, 2})},
    {"ReduceL1", bits({1})},
    {"ReduceL2", bits({1})},
    {"ReduceLogSum", bits({1})},
    {"ReduceLogSumExp", bits({1})},
    {"ReduceMax", bits({1})},
    {"ReduceMean", bits({1})},
    {"ReduceMin", bits({1})},
    {"ReduceProd", bits({1})},
    {"ReduceSum", bits({1})},
    {"ReduceSumSquare", bits({1})},
    {"Reshape", bits({1})},
    {"Resize", bits({1, 2, 3})},
    {"STFT", bits({1, 3})},
    {"Slice", bits({1, 2, 3, 4})},
    {"Split", bits({1})},
    {"Squeeze", bits({1})},
    {"Tile", bits({1})},
    {"TopK", bits({1})},
    {"Trilu", bits({1})},
    {"Unsqueeze", bits({1})},
    {"Upsample", bits({1})},
});

}  // namespace

Result<graph::Graph> infer_node(const graph::Node& node, std::span<const KnownInput> inputs) {
  graph::Graph graph;
  graph::Node copy = node;
  for (size_t i = 0; i < copy.inputs.size(); ++i) {
    if (copy.inputs[i] == graph::kNoValue) continue;
    graph::SymShape shape;
    for (int64_t extent : inputs[i].spec.shape) shape.push_back({extent, ""});
    std::optional<Tensor> constant;
    if (inputs[i].value != nullptr) constant = *inputs[i].value;
    copy.inputs[i] =
        graph.add_value({"in" + std::to_string(i), inputs[i].spec.dtype, std::move(shape), std::move(constant)});
  }
  for (size_t o = 0; o < copy.outputs.size(); ++o) {
    if (copy.outputs[o] == graph::kNoValue) continue;
    copy.outputs[o] = graph.add_value({"out" + std::to_string(o), std::nullopt, std::nullopt, std::nullopt});
    graph.outputs.push_back(copy.outputs[o]);
  }
  graph.nodes.push_back(std::move(copy));
  MOTET_RETURN_IF_ERROR(graph::infer_shapes(graph, {}));
  for (graph::ValueId id : graph.outputs) {
    if (!graph.value(id).dtype || !graph.value(id).static_shape())
      return unsupported("type or extents of an output of " + node.op + " (opset " + std::to_string(node.opset) +
                         ") do not follow from its inputs");
  }
  return graph;
}

bool reads_when_planned(const graph::Node& node, size_t input) {
  if (!node.domain.empty()) return false;
  const auto* row = std::lower_bound(kRead.begin(), kRead.end(), node.op,
                                     [](const ReadRow& r, std::string_view op) { return r.op < op; });
  if (row == kRead.end() || row->op != node.op) return false;
  return input < 32 && (row->inputs >> input & 1) != 0;
}

}  // namespace motet::ops
