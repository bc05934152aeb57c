// The passes by name; pass.cpp lists them in order. Each takes a graph whose shapes have been inferred and returns how
// many rewrites it made. What a rewrite leaves behind:
//
// Fused nodes keep op, inputs and attributes and gain post_ops, applied in order to the finished result. Conv, Gemm and
// MatMul are fused. Their bias, one float per output channel (Conv: [M]; Gemm and MatMul: [N], the last dimension), is
// input 2; for MatMul that is an extension of ONNX. A residual is an input after the bias place (kNoValue there if
// there is no bias). "Gelu" and "HardSwish" stand for their spelled-out forms; "Swish" (opset 24: x * sigmoid(x))
// likewise, "motet:Attention" (compute/ops/attention/fused.h) for what fuse-attention finds, and motet:ChannelShuffle
// for a shuffle of `groups` groups of channels. BatchNormalization that folds nowhere and GroupNormalization may have a
// Relu. QLinearConv and com.microsoft's quantised ops take activations as post-ops too, before the result is quantised;
// a QLinearConv's residual is inputs 9 to 11 (numbers, scale, zero point). "motet:QuantisedMatMul"
// (compute/ops/quant/quantised_matmul.h) is a Gemm or MatMul whose weights are to be int8, or
// one that a model quantises dynamically. Values folded to constants
// have no maker; a graph output may be such a value. Else only f32 is fused. One thread at a time.
#pragma once

#include "base/result.h"
#include "compute/graph/graph.h"
#include "compute/graph/pass.h"

namespace motet::graph {

Result<int> inline_if(Graph& graph, const PassContext& context);
Result<int> fold_constants(Graph& graph, const PassContext& context);
Result<int> remove_no_ops(Graph& graph, const PassContext& context);
Result<int> eliminate_common_subexpressions(Graph& graph, const PassContext& context);
Result<int> eliminate_dead(Graph& graph, const PassContext& context);
Result<int> fold_batch_norm(Graph& graph, const PassContext& context);
Result<int> recognise_pictures(Graph& graph, const PassContext& context);
Result<int> fuse_patterns(Graph& graph, const PassContext& context);
Result<int> fuse_attention(Graph& graph, const PassContext& context);
Result<int> sink_reshapes(Graph& graph, const PassContext& context);
Result<int> fuse_bias(Graph& graph, const PassContext& context);
Result<int> split_transposed_convolutions(Graph& graph, const PassContext& context);
Result<int> fuse_activation(Graph& graph, const PassContext& context);
Result<int> expand_quantized(Graph& graph, const PassContext& context);
Result<int> fuse_dynamic(Graph& graph, const PassContext& context);
Result<int> fuse_quantized(Graph& graph, const PassContext& context);
Result<int> fuse_residual(Graph& graph, const PassContext& context);
Result<int> quantise_products(Graph& graph, const PassContext& context);

}  // namespace motet::graph
