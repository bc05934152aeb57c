// Kernels from oneDNN (Debian's libdnnl 2.6). The only folder that includes its headers. Each function plans one family
// of ops, or refuses with the reason; registry.cpp lists them before the plain reference. A layout other than row-major
// is taken from the inputs (element-wise ops follow what they are given) or from NodeRequest::preferred (convolution,
// pooling).
//
// Threads: planning on one thread at a time per model; the kernels may run from several threads at once. A kernel's
// parallel regions run on the device::Team given to run(); its number of parts is fixed at planning
// (NodeRequest::max_width), so the result does not depend on how many cores run them.
#pragma once

#include <string>

#include "compute/ops/kernel.h"

namespace motet::ops::onednn {

Result<KernelPtr> plan_convolution(const NodeRequest& request);    // Conv
Result<KernelPtr> plan_deconvolution(const NodeRequest& request);  // ConvTranspose
Result<KernelPtr> plan_matmul(const NodeRequest& request);         // MatMul, Gemm
Result<KernelPtr> plan_product_grid(const NodeRequest& request);   // MatMul, Gemm: long ones, when cut
Result<KernelPtr> plan_pooling(const NodeRequest& request);  // MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool
Result<KernelPtr> plan_eltwise(
    const NodeRequest& request);  // Relu, Clip, Sigmoid, Tanh, Elu, Gelu, ...: see eltwise.cpp
Result<KernelPtr> plan_binary(const NodeRequest& request);               // Add, Sub, Mul, Div, Max, Min of two inputs
Result<KernelPtr> plan_softmax(const NodeRequest& request);              // Softmax, LogSoftmax
Result<KernelPtr> plan_resampling(const NodeRequest& request);           // Resize, Upsample
Result<KernelPtr> plan_lrn(const NodeRequest& request);                  // LRN
Result<KernelPtr> plan_batch_normalization(const NodeRequest& request);  // BatchNormalization
Result<KernelPtr> plan_layer_normalization(const NodeRequest& request);  // LayerNormalization
Result<KernelPtr> plan_reduction(const NodeRequest& request);            // ReduceMean, ReduceSum, ReduceMax, ReduceMin

Result<KernelPtr> plan_quantized_convolution(const NodeRequest& request);  // QLinearConv
Result<KernelPtr> plan_quantized_product(const NodeRequest& request);      // QLinearMatMul, QGemm
Result<KernelPtr> plan_transpose(const NodeRequest& request);              // Transpose

// Plans by `plan`; where oneDNN's threads may wait for one another, once for each number of cores: see widths.cpp.
Result<KernelPtr> plan_widths(const NodeRequest& request, Result<KernelPtr> (*plan)(const NodeRequest&));
template <Result<KernelPtr> (*plan)(const NodeRequest&)>
Result<KernelPtr> plan_for_widths(const NodeRequest& request) {
  return plan_widths(request, plan);
}

// Copies `from` to `to`, which differ in layout, in type (f32 and bf16), or both, in at most `parts` parts.
Result<KernelPtr> plan_reorder(const TensorSpec& from, const TensorSpec& to, int parts);

// The instruction set that oneDNN uses here, "avx512_core_bf16".
std::string isa_name();
// Of the library, "2.6.3".
std::string version();
// Whether this CPU has instructions for products of bf16 (AVX512_BF16 or AMX), of u8 and s8 (VNNI or AMX).
bool has_bf16();
bool has_int8();
// The blocked layout natural to this CPU: kNChw16c with AVX-512, else kNChw8c.
Layout blocked_layout();

}  // namespace motet::ops::onednn
