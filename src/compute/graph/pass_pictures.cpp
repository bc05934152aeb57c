// Ops on pictures ([N, C, H, W]) that exporters spell out in ops that only know rows. Said as what they are, they run
// in the layout that the convolutions around them prefer:
//   GlobalAveragePool  ReduceMean over H and W; GlobalMaxPool likewise
//   GroupNormalization Reshape to [N, g, -1], InstanceNormalization by itself, Reshape back[, Mul, Add per channel]
//   ChannelShuffle     Reshape to [N, g, C/g, H, W], Transpose of the middle two, Reshape back (Zhang et al., 2018)
#include <algorithm>

#include "compute/graph/infer.h"
#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

constexpr size_t kRank = 4;

// The axes that a reduction names, from its attribute or a constant input; nothing if they are not known.
std::optional<std::vector<int64_t>> reduced_axes(const Rewriter& rewriter, const Node& node) {
  if (node.inputs.size() < 2 || node.inputs[1] == kNoValue) return node.ints_or("axes", {});
  const Value& axes = rewriter.value(node.inputs[1]);
  if (!axes.constant || axes.constant->dtype() != DType::kI64) return std::nullopt;
  auto list = axes.constant->view().as<const int64_t>();
  return std::vector<int64_t>(list.begin(), list.end());
}

bool plain(const Node& node, std::string_view op) {
  return node.op == op && node.domain.empty() && node.post_ops.empty() && !node.inputs.empty();
}

bool pool_globally(Rewriter& rewriter, int index) {
  const Node& node = rewriter.node(index);
  const bool mean = plain(node, "ReduceMean");
  if (!mean && !plain(node, "ReduceMax")) return false;
  const Value& x = rewriter.value(node.inputs[0]);
  if (x.dtype != DType::kF32 || !x.shape || x.shape->size() != kRank) return false;
  auto axes = reduced_axes(rewriter, node);
  if (!axes) return false;
  for (int64_t& axis : *axes) axis += axis < 0 ? static_cast<int64_t>(kRank) : 0;
  std::sort(axes->begin(), axes->end());
  if (*axes != std::vector<int64_t>{2, 3}) return false;
  Node pool{.op = mean ? "GlobalAveragePool" : "GlobalMaxPool", .name = node.name, .opset = node.opset};
  pool.inputs = {node.inputs[0]};
  if (node.int_or("keepdims", 1) != 0) {
    pool.outputs = node.outputs;
  } else {
    Dim one{.extent = 1};
    ValueId pooled = rewriter.add_value("pooled", x.dtype, SymShape{(*x.shape)[0], (*x.shape)[1], one, one});
    Node flatten{.op = "Flatten", .opset = node.opset, .inputs = {pooled}, .outputs = node.outputs};
    pool.outputs = {pooled};
    rewriter.put(index, std::move(flatten));
    rewriter.insert_before(index, std::move(pool));
    return true;
  }
  rewriter.put(index, std::move(pool));
  return true;
}

// The sole maker of the node's input, if it is a plain `op` that nobody else reads; -1 otherwise.
int made_by(const Rewriter& rewriter, const Node& node, std::string_view op, size_t input = 0) {
  int source = rewriter.read_once(node.inputs[input]) ? rewriter.maker(node.inputs[input]) : -1;
  return source >= 0 && !rewriter.removed(source) && plain(rewriter.node(source), op) ? source : -1;
}

bool shuffle_channels(Rewriter& rewriter, int index) {
  const Node& last = rewriter.node(index);
  if (!plain(last, "Reshape")) return false;
  const int middle = made_by(rewriter, last, "Transpose");
  if (middle < 0 || rewriter.node(middle).ints_or("perm", {}) != std::vector<int64_t>{0, 2, 1, 3, 4}) return false;
  const int first = made_by(rewriter, rewriter.node(middle), "Reshape");
  if (first < 0) return false;
  const ValueId source = rewriter.node(first).inputs[0];
  const auto from = rewriter.value(source).static_shape();
  const auto split = rewriter.value(rewriter.node(first).outputs[0]).static_shape();
  const auto to = rewriter.value(last.outputs[0]).static_shape();
  if (!from || !split || from->size() != kRank || to != from || split->size() != kRank + 1) return false;
  const Shape& s = *split;
  if (s[0] != (*from)[0] || s[1] * s[2] != (*from)[1] || s[3] != (*from)[2] || s[4] != (*from)[3]) return false;
  Node shuffle{.op = "ChannelShuffle", .domain = "motet", .name = last.name, .opset = 1};
  shuffle.inputs = {source};
  shuffle.outputs = last.outputs;
  shuffle.attributes.emplace("groups", s[1]);
  rewriter.put(index, std::move(shuffle));
  rewriter.remove(middle);
  rewriter.remove(first);
  return true;
}

bool all_are(const Value& value, float number) {
  auto list = floats_of(value);
  return list && std::all_of(list->begin(), list->end(), [&](float each) { return each == number; });
}

bool normalise_groups(Rewriter& rewriter, int index) {
  const Node& last = rewriter.node(index);
  const int norm = plain(last, "Reshape") ? made_by(rewriter, last, "InstanceNormalization") : -1;
  const int first = norm >= 0 ? made_by(rewriter, rewriter.node(norm), "Reshape") : -1;
  if (first < 0) return false;
  const Node& inner = rewriter.node(norm);
  if (!all_are(rewriter.value(inner.inputs[1]), 1) || !all_are(rewriter.value(inner.inputs[2]), 0)) return false;
  const ValueId x = rewriter.node(first).inputs[0];
  const auto from = rewriter.value(x).static_shape(), to = rewriter.value(last.outputs[0]).static_shape();
  const auto grouped = rewriter.value(inner.inputs[0]).static_shape();
  if (!from || from->size() != kRank || to != from || rewriter.value(x).dtype != DType::kF32) return false;
  if (!grouped || grouped->size() != 3 || (*grouped)[0] != (*from)[0]) return false;
  const int64_t channels = (*from)[1], groups = (*grouped)[1];
  if (groups < 1 || channels % groups != 0) return false;
  Node group{.op = "GroupNormalization", .name = inner.name, .opset = 21};
  group.attributes = {{"num_groups", groups}, {"epsilon", inner.float_or("epsilon", 1e-5F)}};
  group.outputs = last.outputs;
  const std::vector<float> ones(static_cast<size_t>(channels), 1.0F), zeros(static_cast<size_t>(channels), 0.0F);
  const std::string base = rewriter.value(last.outputs[0]).name;
  group.inputs = {x, rewriter.add_constant(base + "/scale", Tensor::of<float>({channels}, ones)),
                  rewriter.add_constant(base + "/shift", Tensor::of<float>({channels}, zeros))};
  rewriter.put(index, std::move(group));
  rewriter.remove(norm);
  rewriter.remove(first);
  return true;
}

// Mul or Add of a constant per channel after a group norm becomes its scale or shift.
bool scale_group_norm(Rewriter& rewriter, int index) {
  const Node& node = rewriter.node(index);
  const bool multiplies = plain(node, "Mul");
  if (!multiplies && !plain(node, "Add")) return false;
  for (size_t i = 0; i < 2; ++i) {
    const int source = made_by(rewriter, node, "GroupNormalization", i);
    const auto shape = rewriter.value(node.outputs[0]).static_shape();
    if (source < 0 || !shape || shape != rewriter.value(node.inputs[i]).static_shape()) continue;
    Node group = rewriter.node(source);
    auto factors = per_channel(rewriter.value(node.inputs[1 - i]), kRank, 1, (*shape)[1]);
    auto scale = floats_of(rewriter.value(group.inputs[1])), shift = floats_of(rewriter.value(group.inputs[2]));
    if (shape->size() != kRank || group.opset < 21 || !factors || !scale || !shift) continue;
    std::vector<float> scales(scale->begin(), scale->end()), shifts(shift->begin(), shift->end());
    for (size_t c = 0; c < scales.size(); ++c) {
      if (multiplies) scales[c] *= (*factors)[c];
      shifts[c] = multiplies ? shifts[c] * (*factors)[c] : shifts[c] + (*factors)[c];
    }
    const std::string base = rewriter.value(node.outputs[0]).name;
    group.outputs = node.outputs;
    group.inputs[1] = rewriter.add_constant(base + "/scale", Tensor::of<float>({(*shape)[1]}, scales));
    group.inputs[2] = rewriter.add_constant(base + "/shift", Tensor::of<float>({(*shape)[1]}, shifts));
    rewriter.remove(source);
    rewriter.put(index, std::move(group));
    return true;
  }
  return false;
}

}  // namespace

Result<int> recognise_pictures(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  return rewrite_each(rewriter, [&](int node) {
    return pool_globally(rewriter, node) || shuffle_channels(rewriter, node) || normalise_groups(rewriter, node) ||
           scale_group_norm(rewriter, node);
  });
}

}  // namespace motet::graph
