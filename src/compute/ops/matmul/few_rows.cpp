#include "compute/ops/matmul/few_rows.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "base/clock.h"
#include "compute/graph/file_map.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/choices.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

using vec::kPanelColumns;
static_assert(kFewRows <= vec::kPanelMostRows);

constexpr int64_t kPanelsAtOnce = 8;               // whose results are in a near cache still for the post-ops
constexpr int64_t kWorkOfPart = int64_t{1} << 17;  // multiplications; less does not pay for a second core

struct Problem {
  int64_t m = 0, k = 0, n = 0;
  bool turned = false;  // the right-hand side is [n, k]
  bool biased = false;

  int64_t panels() const { return (n + kPanelColumns - 1) / kPanelColumns; }
};

Result<Problem> read_problem(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, SIZE_MAX));
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (has_input(request, i)) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
  const graph::Node& node = request.node;
  const Shape &a = request.inputs[0].shape, &b = request.inputs[1].shape;
  if (b.size() != 2 || a.empty()) return unsupported("a right-hand side that is not a plain matrix");
  if (constant_input(request, 1) == nullptr) return unsupported("a right-hand side that is not constant");
  const bool gemm = node.op == "Gemm";
  if (gemm && (node.int_or("transA", 0) != 0 || a.size() != 2)) return unsupported("transA 1");
  if (node.float_or("alpha", 1.0F) != 1.0F || node.float_or("beta", 1.0F) != 1.0F)
    return unsupported("alpha or beta other than 1");
  Problem p{.k = a.back(), .turned = gemm && node.int_or("transB", 0) != 0};
  p.n = b[p.turned ? 0 : 1];
  if (p.k < 1 || p.n < 1 || b[p.turned ? 1 : 0] != p.k) return unsupported("an empty product");
  p.m = elements(a) / p.k;
  if (p.m < 1 || p.m > kFewRows)
    return unsupported(std::to_string(p.m) + " rows; 1 to " + std::to_string(kFewRows) + " are possible");
  if (elements(request.outputs[0].shape) != p.m * p.n || request.outputs[0].dtype != DType::kF32)
    return unsupported("a result of " + describe(request.outputs[0]));
  bool added = false;  // input 2
  for (const graph::PostOp& op : node.post_ops) {
    if (op.kind != graph::PostOp::Kind::kAdd) continue;
    const auto i = static_cast<size_t>(op.input);
    if (op.input < 0 || !has_input(request, i) || request.inputs[i].shape != request.outputs[0].shape)
      return unsupported("a fused addition of another shape than the result's");
    added = added || i == 2;
  }
  p.biased = has_input(request, 2) && !added;
  if (p.biased && (request.inputs[2].shape.empty() || request.inputs[2].shape.back() != p.n ||
                   elements(request.inputs[2].shape) != p.n))
    return unsupported("a bias of shape " + shape_to_string(request.inputs[2].shape));
  return p;
}

WeightCache::Packed pack(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p](std::byte* memory) {
    const Reading reading = constant.read();
    auto at = [&](int64_t element) {  // the file may hold it at any alignment
      float value = 0;
      std::memcpy(&value, reading.data + element * static_cast<int64_t>(sizeof(float)), sizeof(float));
      return value;
    };
    auto* to = reinterpret_cast<float*>(memory);
    for (int64_t first = 0; first < p.n; first += kPanelColumns) {
      const int64_t columns = std::min(kPanelColumns, p.n - first);
      for (int64_t i = 0; i < p.k; ++i, to += kPanelColumns) {
        for (int64_t c = 0; c < columns; ++c) to[c] = at(p.turned ? (first + c) * p.k + i : i * p.n + first + c);
        std::fill(to + columns, to + kPanelColumns, 0.0f);
      }
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(p.panels() * p.k * kPanelColumns) * sizeof(float);
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  return request.weights->get_or_pack(constant, p.turned ? "turned panels of 32" : "panels of 32", bytes,
                                      std::move(fill));
}

class FewRows final : public Kernel {
 public:
  FewRows(const NodeRequest& request, const Problem& problem)
      : p_(problem), post_ops_(request.node.post_ops), weights_(pack(request, problem)) {}

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t work = p_.m * p_.k * kPanelColumns;
    team.for_range(p_.panels(), (kWorkOfPart + work - 1) / work, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; panel += kPanelsAtOnce)
        run_panels(args, panel, std::min(end, panel + kPanelsAtOnce));
    });
  }
  Status finish() const override {
    weights_->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1; }
  std::string implementation() const override { return std::string("own panels:") + vec::loops().isa; }
  size_t packed_bytes() const override { return weights_->bytes(); }
  double flops() const override { return 2.0 * static_cast<double>(p_.m * p_.n) * static_cast<double>(p_.k); }

 private:
  void run_panels(const KernelArgs& args, int64_t begin, int64_t end) const {
    const int64_t first = begin * kPanelColumns, columns = std::min(end * kPanelColumns, p_.n) - first;
    float* result = output_data<float>(args, 0) + first;
    const auto* panels = reinterpret_cast<const float*>(weights_->data()) + first * p_.k;
    vec::loops().multiply_panels(p_.m, columns, p_.k, input_data<float>(args, 0), p_.k, panels, result, p_.n,
                                 p_.biased ? input_data<float>(args, 2) + first : nullptr, false);
    if (post_ops_.empty()) return;
    for (int64_t r = 0; r < p_.m; ++r) apply_post_ops(post_ops_, args, result + r * p_.n, r * p_.n + first, columns);
  }

  const Problem p_;
  const std::vector<graph::PostOp> post_ops_;
  const WeightCache::Packed weights_;
};

// How long the kernels take to multiply matrices of these extents, each the least of some rounds, on one core and with
// weights that no near cache holds.
struct Times {
  Nanos panels, onednn;
};

std::optional<Times> time_both(Problem p) {
  constexpr int64_t kMostWeights = 2 << 20;  // elements
  constexpr int kRounds = 5;
  p.n = std::min(p.n, std::max<int64_t>(kMostWeights / p.k, 1) / kPanelColumns * kPanelColumns + kPanelColumns);
  const Tensor left = Tensor::zeros(DType::kF32, {p.m, p.k}), right = Tensor::zeros(DType::kF32, {p.k, p.n});
  const Tensor result = Tensor::zeros(DType::kF32, {p.m, p.n});
  graph::Node node;
  node.op = "MatMul";
  node.inputs = {0, 1};
  node.outputs = {2};
  const std::array<TensorSpec, 2> inputs = {TensorSpec{DType::kF32, left.shape()}, {DType::kF32, right.shape()}};
  const std::array<TensorSpec, 1> outputs = {TensorSpec{DType::kF32, result.shape()}};
  const std::array<bool, 2> present = {true, true};
  const std::array<const Tensor*, 2> constants = {nullptr, &right};
  const NodeRequest request{
      .node = node, .inputs = inputs, .present = present, .constants = constants, .outputs = outputs};
  auto own = plan_few_rows(request);
  auto other = onednn::plan_matmul(request);
  if (!own.ok() || !other.ok()) return std::nullopt;
  const std::array<const Kernel*, 2> kernels = {own->get(), other->get()};
  const std::array<TensorView, 2> operands = {left.view(), right.view()};
  const std::array<TensorView, 1> results = {result.view()};
  const SteadyClock clock;
  std::array<Nanos, 2> best = {kNever, kNever};
  for (const Kernel* kernel : kernels)
    if (!kernel->finish().ok()) return std::nullopt;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kernels.size(); ++i) {
      const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernels[i]->scratch_bytes())});
      const Nanos begin = clock.now();
      kernels[i]->run({.inputs = operands, .outputs = results, .scratch = scratch.view().data}, device::Team::serial());
      best[i] = std::min(best[i], clock.now() - begin);
    }
  }
  return Times{best[0], best[1]};
}

// Whether oneDNN multiplies by weights of [k, n] clearly faster than panels are read: by one row and by a batch of
// them, so that the programs of all batches read the same packed weights.
bool onednn_is_faster(Problem p) {
  constexpr double kClearly = 0.9;  // weights that come from memory are read faster in panels than those from a cache
  constexpr std::array<int64_t, 2> kRows = {1, 8};
  double ratio = 1;  // product of oneDNN's share
  for (int64_t rows : kRows) {
    p.m = rows;
    const auto times = time_both(p);
    if (!times) return false;
    ratio *= static_cast<double>(times->onednn.value) / static_cast<double>(std::max<int64_t>(1, times->panels.value));
  }
  return ratio < kClearly * kClearly;
}

}  // namespace

Result<KernelPtr> plan_few_rows(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  if (request.choices != nullptr) {
    const std::string name = "weights " + shape_to_string(Shape{problem.k, problem.n}) + " of few rows";
    if (request.choices->pick(name, [&] { return onednn_is_faster(problem) ? 1 : 0; }) == 1)
      return unsupported("oneDNN is faster here for " + name);
  }
  return KernelPtr(std::make_unique<FewRows>(request, problem));
}

}  // namespace motet::ops
