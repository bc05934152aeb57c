#include "compute/ops/matmul/few_rows.h"

#include <algorithm>

#include "compute/graph/file_map.h"
#include "compute/ops/matmul/constant_product.h"
#include "compute/ops/matmul/race.h"
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

using Problem = ConstantProduct;

int64_t panels_of(const Problem& p) { return (p.n + kPanelColumns - 1) / kPanelColumns; }

Result<Problem> read_problem(const NodeRequest& request) {
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (has_input(request, i)) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
  MOTET_ASSIGN(const Problem p, read_constant_product(request));
  if (p.result != DType::kF32) return unsupported("a result of " + describe(request.outputs[0]));
  if (p.m > kFewRows)
    return unsupported(std::to_string(p.m) + " rows; 1 to " + std::to_string(kFewRows) + " are possible");
  return p;
}

WeightCache::Packed pack(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p](std::byte* memory) {
    const Reading reading = constant.read();
    auto* to = reinterpret_cast<float*>(memory);
    for (int64_t first = 0; first < p.n; first += kPanelColumns) {
      const int64_t columns = std::min(kPanelColumns, p.n - first);
      for (int64_t i = 0; i < p.k; ++i, to += kPanelColumns) {
        copy_row(p, reading.data, i, first, columns, to);
        std::fill(to + columns, to + kPanelColumns, 0.0f);
      }
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(panels_of(p) * p.k * kPanelColumns) * sizeof(float);
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
    team.for_range(panels_of(p_), (kWorkOfPart + work - 1) / work, [&](int64_t begin, int64_t end) {
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
                                 p_.bias >= 0 ? input_data<float>(args, 2) + first : nullptr, false);
    if (post_ops_.empty()) return;
    for (int64_t r = 0; r < p_.m; ++r) apply_post_ops(post_ops_, args, result + r * p_.n, r * p_.n + first, columns);
  }

  const Problem p_;
  const std::vector<graph::PostOp> post_ops_;
  const WeightCache::Packed weights_;
};

// Whether oneDNN multiplies by weights of [k, n] clearly faster than panels are read: by one row and by a batch of
// them, so that the programs of all batches read the same packed weights.
bool onednn_is_faster(const Problem& p) {
  constexpr double kClearly = 0.9;  // weights that come from memory are read faster in panels than those from a cache
  constexpr int64_t kMostWeights = 2 << 20;  // elements; no near cache holds them
  constexpr int kRounds = 5;
  const int64_t most = std::max<int64_t>(kMostWeights / p.k, 1) / kPanelColumns * kPanelColumns + kPanelColumns;
  double ratio = 1;  // product of oneDNN's share
  for (const int64_t rows : {1, 8}) {
    const RaceProduct product{.rows = rows, .depth = p.k, .columns = std::min(p.n, most)};
    const auto times = race(product, {plan_few_rows, onednn::plan_matmul}, kRounds);
    if (!times) return false;
    const auto [own, other] = *times;
    ratio *= static_cast<double>(other.value) / static_cast<double>(std::max<int64_t>(1, own.value));
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
