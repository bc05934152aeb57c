#include "compute/engine/compile/work.h"

#include <algorithm>

namespace motet::engine {
namespace {

// A core of the slower kinds: AVX2 at 3 GHz, and memory that it shares.
constexpr double kFlopsPerNano = 60;
constexpr double kBytesPerNano = 8;
constexpr double kShareOfQuantum = 0.6;  // of one part
constexpr int kMostParts = 256;

// Multiplications and additions of what has many an element; 0 for the rest.
double flops_of(const graph::Node& node, std::span<const ops::TensorSpec> inputs,
                std::span<const ops::TensorSpec> outputs) {
  if (inputs.size() < 2 || outputs.empty()) return 0;
  const Shape& in = inputs[0].shape;
  const Shape& weights = inputs[node.op == "QLinearConv" && inputs.size() > 3 ? 3 : 1].shape;
  auto out = static_cast<double>(elements(outputs[0].shape));
  if ((node.op == "Conv" || node.op == "QLinearConv" || node.op == "ConvInteger") && weights.size() > 2)
    return 2 * out * static_cast<double>(elements(weights)) / static_cast<double>(std::max<int64_t>(1, weights[0]));
  if (node.op == "ConvTranspose" && weights.size() > 2)
    return 2 * static_cast<double>(elements(in)) * static_cast<double>(elements(weights)) /
           static_cast<double>(std::max<int64_t>(1, weights[0]));
  if (node.op == "Gemm" && in.size() == 2)
    return 2 * out * static_cast<double>(in[node.int_or("transA", 0) != 0 ? 0 : 1]);
  if ((node.op == "MatMul" || node.op == "MatMulInteger" || node.op == "QuantisedMatMul") && !in.empty())
    return 2 * out * static_cast<double>(in.back());
  return 0;
}

}  // namespace

Nanos time_to_move(size_t bytes) { return Nanos(static_cast<int64_t>(static_cast<double>(bytes) / kBytesPerNano)); }

Nanos pessimistic_time(const graph::Node& node, std::span<const ops::TensorSpec> inputs,
                       std::span<const ops::TensorSpec> outputs) {
  size_t bytes = 0;
  for (const ops::TensorSpec& spec : inputs) bytes += spec.bytes();
  for (const ops::TensorSpec& spec : outputs) bytes += spec.bytes();
  Nanos computing(static_cast<int64_t>(flops_of(node, inputs, outputs) / kFlopsPerNano));
  return std::max(computing, time_to_move(bytes));
}

int parts_for(Nanos estimate, Nanos quantum, int cores) {
  if (quantum == kNever || quantum <= Nanos(0)) return cores;
  double share = static_cast<double>(quantum.value) * kShareOfQuantum;
  double wanted = static_cast<double>(estimate.value) / share;
  int parts = wanted >= kMostParts ? kMostParts : static_cast<int>(wanted) + 1;
  return std::max(1, (parts + cores - 1) / cores) * cores;
}

}  // namespace motet::engine
