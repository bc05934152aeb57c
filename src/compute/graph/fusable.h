// What the fusion passes share: which nodes take a bias, a scale and post-ops, and which of their dimensions is the
// channel. One thread at a time.
#pragma once

#include <optional>
#include <vector>

#include "compute/graph/rewrite.h"

namespace motet::graph {

// A convolution or product whose result has one channel dimension.
struct Fusable {
  size_t rank = 0;  // of the result
  size_t axis = 0;  // of the channels: 1 for convolutions, the last for products
  int64_t channels = 0;
};

// Describes the node if it is a Conv, ConvTranspose, Gemm, MatMul or motet:QuantisedMatMul on f32 with a known number
// of channels and rank.
std::optional<Fusable> fusable(const Rewriter& rewriter, const Node& node);

// The node that makes input `i` of `reader`, if it is fusable, has no post-ops yet and no one else reads its result; -1
// if not.
int sole_source(const Rewriter& rewriter, const Node& reader, size_t i);

// The bias as one number per channel: zeros if there is none; nothing if it is not constant or not of that form.
std::optional<std::vector<float>> bias_of(const Rewriter& rewriter, const Node& node, const Fusable& shape);
// Gives the node this bias, as a constant named after its result.
void set_bias(Rewriter& rewriter, Node& node, std::vector<float> bias);

}  // namespace motet::graph
