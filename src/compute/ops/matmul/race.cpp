#include "compute/ops/matmul/race.h"

#include <algorithm>

#include "base/clock.h"

namespace motet::ops {

std::optional<std::array<Nanos, 2>> race(const RaceProduct& product, std::array<PlanProduct, 2> plans, int rounds) {
  const Tensor left = Tensor::zeros(product.type, {product.rows, product.depth});
  const Tensor right = Tensor::zeros(DType::kF32, {product.depth, product.columns});
  const Tensor result = Tensor::zeros(product.result, {product.rows, product.columns});
  graph::Node node;
  node.op = "MatMul";
  node.inputs = {0, 1};
  node.outputs = {2};
  const std::array<TensorSpec, 2> inputs = {TensorSpec{product.type, left.shape()}, {DType::kF32, right.shape()}};
  const std::array<TensorSpec, 1> outputs = {TensorSpec{product.result, result.shape()}};
  const std::array<bool, 2> present = {true, true};
  const std::array<const Tensor*, 2> constants = {nullptr, &right};
  const NodeRequest request{.node = node,
                            .inputs = inputs,
                            .present = present,
                            .constants = constants,
                            .outputs = outputs,
                            .lowered = product.type == DType::kBF16};
  std::array<KernelPtr, 2> kernels;
  for (size_t i = 0; i < kernels.size(); ++i) {
    auto planned = plans[i](request);
    if (!planned.ok()) return std::nullopt;
    kernels[i] = std::move(planned).value();
    if (!kernels[i]->finish().ok()) return std::nullopt;
  }
  const std::array<TensorView, 2> operands = {left.view(), right.view()};
  const std::array<TensorView, 1> results = {result.view()};
  const SteadyClock clock;
  std::array<Nanos, 2> best = {kNever, kNever};
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < kernels.size(); ++i) {
      const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernels[i]->scratch_bytes())});
      const Nanos begin = clock.now();
      kernels[i]->run({.inputs = operands, .outputs = results, .scratch = scratch.view().data}, device::Team::serial());
      best[i] = std::min(best[i], clock.now() - begin);
    }
  }
  return best;
}

}  // namespace motet::ops
