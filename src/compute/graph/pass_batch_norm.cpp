// Batch normalisation of fixed statistics is y = x * scale + shift for each channel (Ioffe and Szegedy, 2015, algorithm
// 2). It and any other multiplication by a constant per channel fold into the weights of the convolution or product
// before; where there is none, batch normalisation stays as it is.
#include <cmath>
#include <cstring>

#include "compute/graph/file_map.h"
#include "compute/graph/fusable.h"
#include "compute/graph/infer.h"
#include "compute/graph/passes.h"

namespace motet::graph {
namespace {

// Per channel.
struct Affine {
  std::vector<float> scale, shift;
};

std::optional<Affine> affine_of_norm(const Rewriter& rewriter, const Node& node, int64_t channels) {
  if (node.int_or("training_mode", 0) != 0 || node.int_or("spatial", 1) == 0) return std::nullopt;
  for (size_t o = 1; o < node.outputs.size(); ++o)
    if (node.outputs[o] != kNoValue && !rewriter.unread(node.outputs[o])) return std::nullopt;
  std::vector<std::span<const float>> lists;
  for (size_t i = 1; i < 5; ++i) {
    auto list = floats_of(rewriter.value(node.inputs[i]));
    if (!list || static_cast<int64_t>(list->size()) != channels) return std::nullopt;
    lists.push_back(*list);
  }
  double epsilon = node.float_or("epsilon", 1e-5F);
  Affine out;
  for (size_t c = 0; c < lists[0].size(); ++c) {
    double scale = static_cast<double>(lists[0][c]) / std::sqrt(static_cast<double>(lists[3][c]) + epsilon);
    out.scale.push_back(static_cast<float>(scale));
    out.shift.push_back(
        static_cast<float>(static_cast<double>(lists[1][c]) - static_cast<double>(lists[2][c]) * scale));
  }
  return out;
}

// Which channel each weight leads to: weights lie in blocks of `each`, and block k leads to channel
// k / columns / rows * columns + k % columns.
struct ChannelMap {
  size_t each = 1, columns = 1, rows = 1;
};

// Nothing if the layout is not one of the known.
std::optional<ChannelMap> channel_map(const Node& node, const Shape& extents, int64_t count) {
  auto size = static_cast<size_t>(elements(extents));
  auto channels = static_cast<size_t>(count);
  if (size == 0 || !node.domain.empty()) return std::nullopt;
  if (node.op == "Conv") {
    if (extents[0] != count) return std::nullopt;
    return ChannelMap{size / channels, channels, 1};
  }
  if (node.op == "ConvTranspose") {  // [C, M / group, k...]: row c belongs to group c / (C / group)
    auto group = static_cast<size_t>(node.int_or("group", 1));
    auto rows = static_cast<size_t>(extents[0]), columns = static_cast<size_t>(extents[1]);
    if (rows % group != 0 || columns * group != channels) return std::nullopt;
    return ChannelMap{size / (rows * columns), columns, rows / group};
  }
  if (extents.size() != 2) return std::nullopt;
  bool transposed = node.op == "Gemm" && node.int_or("transB", 0) != 0;
  if (extents[transposed ? 0 : 1] != count) return std::nullopt;
  auto rows = static_cast<size_t>(extents[0]), columns = static_cast<size_t>(extents[1]);
  return transposed ? ChannelMap{columns, channels, 1} : ChannelMap{1, channels, rows};
}

// Multiplies the weights that lead to channel c by scale[c]. Deferred: mostly only a packed copy of the product is ever
// wanted, and the weights themselves stay where they are. Nothing if the layout is not one of the known.
std::optional<Tensor> scaled_weights(const Node& node, const Tensor& weights, const Fusable& shape,
                                     const std::vector<float>& scale) {
  auto map = channel_map(node, weights.shape(), shape.channels);
  if (!map) return std::nullopt;
  auto fill = [weights, scale, m = *map](std::byte* to) {
    Reading from = weights.read();
    size_t blocks = weights.bytes() / sizeof(float) / m.each;
    for (size_t k = 0; k < blocks; ++k) {
      float factor = scale[k / m.columns / m.rows * m.columns + k % m.columns];
      for (size_t i = k * m.each * sizeof(float); i < (k + 1) * m.each * sizeof(float); i += sizeof(float)) {
        float value = 0;
        std::memcpy(&value, from.data + i, sizeof(value));
        value *= factor;
        std::memcpy(to + i, &value, sizeof(value));
      }
    }
    FileMap::release({from.data, weights.bytes()});
  };
  return Tensor::deferred(DType::kF32, weights.shape(), std::move(fill));
}

class Folder {
 public:
  explicit Folder(Graph& graph) : rewriter_(graph) {}

  int run() {
    return rewrite_each(rewriter_, [this](int i) {
      const Node& node = rewriter_.node(i);
      if (!node.domain.empty() || !node.post_ops.empty() || node.outputs.empty() || node.outputs[0] == kNoValue)
        return false;
      return node.op == "BatchNormalization" ? norm(i) : (node.op == "Mul" || node.op == "Div") && scale(i);
    });
  }

 private:
  bool norm(int index) {
    const Node& node = rewriter_.node(index);
    const Value& x = rewriter_.value(node.inputs[0]);
    if (x.dtype != DType::kF32 || !x.shape || x.shape->size() < 2 || !(*x.shape)[1].known()) return false;
    auto affine = affine_of_norm(rewriter_, node, (*x.shape)[1].extent);
    if (!affine) return false;
    int source = sole_source(rewriter_, node, 0);
    // A product's channels are its last dimension; that is the norm's only in a matrix.
    return source >= 0 && fusable(rewriter_, rewriter_.node(source))->axis == 1 && fold(source, index, *affine);
  }

  // x * constant or x / constant, one number per channel.
  bool scale(int index) {
    const Node& node = rewriter_.node(index);
    bool divides = node.op == "Div";
    for (size_t i = 0; i < (divides ? 1 : 2); ++i) {
      int source = sole_source(rewriter_, node, i);
      if (source < 0) continue;
      const Value& y = rewriter_.value(node.outputs[0]);
      const Value& x = rewriter_.value(node.inputs[i]);
      if (!y.shape || !x.shape || !same(*y.shape, *x.shape)) continue;
      Fusable shape = *fusable(rewriter_, rewriter_.node(source));
      auto factors = per_channel(rewriter_.value(node.inputs[1 - i]), shape.rank, shape.axis, shape.channels);
      if (!factors) continue;
      Affine affine{std::move(*factors), std::vector<float>(static_cast<size_t>(shape.channels), 0.0F)};
      if (divides)
        for (float& f : affine.scale) f = 1.0F / f;
      bool finite = true;
      for (float f : affine.scale) finite = finite && std::isfinite(f);
      if (finite && fold(source, index, affine)) return true;
    }
    return false;
  }

  // Puts the scale into the source's weights and the rest into its bias; it then makes the reader's result.
  bool fold(int source, int reader, const Affine& affine) {
    Node node = rewriter_.node(source);
    const std::optional<Tensor>& weights = rewriter_.value(node.inputs[1]).constant;
    if (!weights || weights->dtype() != DType::kF32) return false;
    Fusable shape = *fusable(rewriter_, node);
    auto bias = bias_of(rewriter_, node, shape);
    if (!bias) return false;
    auto scaled = scaled_weights(node, *weights, shape, affine.scale);
    if (!scaled) return false;
    bool any = false;
    for (size_t c = 0; c < bias->size(); ++c) {
      (*bias)[c] = static_cast<float>(static_cast<double>((*bias)[c]) * static_cast<double>(affine.scale[c]) +
                                      static_cast<double>(affine.shift[c]));
      any = any || (*bias)[c] != 0;
    }
    ValueId result = rewriter_.node(reader).outputs[0];
    node.inputs[1] = rewriter_.add_constant(rewriter_.value(node.inputs[1]).name + "/scaled", std::move(*scaled));
    node.outputs[0] = result;
    if (any) set_bias(rewriter_, node, std::move(*bias));
    rewriter_.remove(source);
    rewriter_.put(reader, std::move(node));
    return true;
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> fold_batch_norm(Graph& graph, const PassContext& context) {
  (void)context;
  return Folder(graph).run();
}

}  // namespace motet::graph
