// A transposed convolution whose windows do not overlap (kernel = strides = b) is a product: each pixel makes b x b
// pixels of its own. As a 1x1 convolution to b * b * M channels and DepthToSpace it runs at the speed of a convolution.
#include <algorithm>

#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

constexpr size_t kRank = 4;

bool all_are(const std::vector<int64_t>& list, int64_t number) {
  return std::all_of(list.begin(), list.end(), [&](int64_t each) { return each == number; });
}

// b, where the node is such a one.
std::optional<int64_t> upscale(const Rewriter& rewriter, const Node& node) {
  if (node.op != "ConvTranspose" || !node.domain.empty() || !node.post_ops.empty()) return std::nullopt;
  const auto x = rewriter.value(node.inputs[0]).static_shape(), y = rewriter.value(node.outputs[0]).static_shape();
  const auto& weights = rewriter.value(node.inputs[1]).constant;
  if (!x || !y || x->size() != kRank || !weights || weights->dtype() != DType::kF32 || weights->shape().size() != kRank)
    return std::nullopt;
  const Shape& w = weights->shape();
  const int64_t b = w[2];
  const bool plain = b > 1 && w[3] == b && w[0] == (*x)[1] && node.int_or("group", 1) == 1 &&
                     node.ints_or("strides", {1, 1}) == std::vector<int64_t>{b, b} &&
                     all_are(node.ints_or("dilations", {1, 1}), 1) && all_are(node.ints_or("pads", {}), 0) &&
                     all_are(node.ints_or("output_padding", {}), 0);
  if (!plain || *y != Shape{(*x)[0], w[1], (*x)[2] * b, (*x)[3] * b}) return std::nullopt;
  return b;
}

// [C, M, b, b] as [b * b * M, C, 1, 1], row (i * b + j) * M + m for the pixel (i, j) of channel m.
Tensor as_product(const Tensor& weights, int64_t b) {
  const int64_t inputs = weights.shape()[0], channels = weights.shape()[1], each = b * b;
  Tensor out = Tensor::zeros(DType::kF32, {each * channels, inputs, 1, 1});
  auto from = weights.view().as<const float>();
  auto to = out.view().as<float>();
  for (int64_t c = 0; c < inputs; ++c)
    for (int64_t m = 0; m < channels; ++m)
      for (int64_t p = 0; p < each; ++p)
        to[static_cast<size_t>((p * channels + m) * inputs + c)] =
            from[static_cast<size_t>((c * channels + m) * each + p)];
  return out;
}

bool rewrite(Rewriter& rewriter, int index) {
  const Node node = rewriter.node(index);
  auto b = upscale(rewriter, node);
  if (!b) return false;
  const Shape x = *rewriter.value(node.inputs[0]).static_shape();
  const int64_t channels = rewriter.value(node.inputs[1]).constant->shape()[1], each = *b * *b;
  const std::string base = rewriter.value(node.outputs[0]).name;
  Node conv{.op = "Conv", .name = node.name, .opset = node.opset};
  conv.inputs = {node.inputs[0],
                 rewriter.add_constant(base + "/weights", as_product(*rewriter.value(node.inputs[1]).constant, *b))};
  if (node.inputs.size() > 2 && node.inputs[2] != kNoValue) {
    auto bias = floats_of(rewriter.value(node.inputs[2]));
    if (!bias || static_cast<int64_t>(bias->size()) != channels) return false;
    std::vector<float> repeated;
    for (int64_t p = 0; p < each; ++p) repeated.insert(repeated.end(), bias->begin(), bias->end());
    conv.inputs.push_back(rewriter.add_constant(base + "/bias", Tensor::of<float>({each * channels}, repeated)));
  }
  auto known = [](int64_t extent) { return Dim{.extent = extent}; };
  conv.outputs = {rewriter.add_value(base + "/deep", DType::kF32,
                                     SymShape{known(x[0]), known(each * channels), known(x[2]), known(x[3])})};
  Node space{.op = "DepthToSpace", .opset = std::max(node.opset, 11)};
  space.attributes = {{"blocksize", *b}, {"mode", std::string("DCR")}};
  space.inputs = conv.outputs;
  space.outputs = node.outputs;
  rewriter.put(index, std::move(space));
  rewriter.insert_before(index, std::move(conv));
  return true;
}

}  // namespace

Result<int> split_transposed_convolutions(Graph& graph, const PassContext& context) {
  (void)context;
  Rewriter rewriter(graph);
  return rewrite_each(rewriter, [&](int node) { return rewrite(rewriter, node); });
}

}  // namespace motet::graph
