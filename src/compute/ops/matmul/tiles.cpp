#include "compute/ops/matmul/tiles.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/clock.h"
#include "compute/graph/file_map.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/choices.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"
#include "compute/ops/vector/tile.h"

namespace motet::ops {
namespace {

using vec::kPanel;
using vec::kPanelRows;

// Rows that stay in the second-level cache while panel after panel passes over them, about.
constexpr int64_t kBlockRows = 128;
// A longer panel that is brought ahead drives the rows out.
constexpr int64_t kAheadBytes = int64_t{256} << 10;
// For fewer, reading the weights takes longer than multiplying. In f32 narrower panels are read faster then
// (few_rows.h); in bf16 these are.
constexpr int64_t kFewestRows = 64;

struct Problem {
  int64_t m = 0, k = 0, n = 0;
  DType type = DType::kF32, result = DType::kF32;
  bool turned = false;  // the right-hand side is [n, k]
  int bias = -1;        // input
};

Status read_post_ops(const NodeRequest& request) {
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind != graph::PostOp::Kind::kAdd) continue;
    const auto i = static_cast<size_t>(op.input);
    if (op.input < 0 || !has_input(request, i))
      return unsupported("a fused addition of absent input " + std::to_string(op.input));
    const TensorSpec& other = request.inputs[i];
    if (other.shape != request.outputs[0].shape || (other.dtype != DType::kF32 && other.dtype != DType::kBF16))
      return unsupported("a fused addition of " + describe(other) + " to " + describe(request.outputs[0]));
  }
  return {};
}

Result<Problem> read_problem(const NodeRequest& request) {
  const graph::Node& node = request.node;
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, request.inputs.size()));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const Shape &a = request.inputs[0].shape, &b = request.inputs[1].shape;
  const TensorSpec& out = request.outputs[0];
  if (out.dtype != DType::kF32 && out.dtype != DType::kBF16) return unsupported("a result of " + describe(out));
  if (b.size() != 2 || a.size() < 2) return unsupported("a right-hand side that is not a plain matrix");
  if (constant_input(request, 1) == nullptr) return unsupported("a right-hand side that is not constant");
  if (node.op == "Gemm" && (node.int_or("transA", 0) != 0 || a.size() != 2)) return unsupported("transA 1");
  if (node.float_or("alpha", 1.0F) != 1.0F || node.float_or("beta", 1.0F) != 1.0F)
    return unsupported("alpha or beta other than 1");
  Problem p{.k = a.back(), .type = request.inputs[0].dtype, .result = out.dtype};
  p.turned = node.op == "Gemm" && node.int_or("transB", 0) != 0;
  p.n = b[p.turned ? 0 : 1];
  if (p.k < 1 || p.n < 1) return unsupported("an empty matrix");
  p.m = elements(a) / p.k;
  if (p.m < 1 || (p.m < kFewestRows && p.type == DType::kF32) || p.n < kPanel)
    return unsupported(std::to_string(p.m) + " rows and " + std::to_string(p.n) + " columns, which are too few");
  if (b[p.turned ? 1 : 0] != p.k || elements(out.shape) != p.m * p.n)
    return unsupported("extents that do not fit: " + describe(request.inputs[1]) + " and " + describe(out));
  if (p.type == DType::kBF16 && p.k % 2 != 0) return unsupported("an odd number of bf16 in a row");
  const bool residual =
      std::any_of(node.post_ops.begin(), node.post_ops.end(), [](const graph::PostOp& op) { return op.input == 2; });
  if (has_input(request, 2) && !residual) {
    const TensorSpec& bias = request.inputs[2];
    if (bias.dtype != DType::kF32 || bias.shape.empty() || bias.shape.back() != p.n || elements(bias.shape) != p.n)
      return unsupported("a bias of " + describe(bias));
    p.bias = 2;
  }
  MOTET_RETURN_IF_ERROR(read_post_ops(request));
  return p;
}

// [panel, k, kPanel] in f32, or [panel, k / 2, kPanel, 2] in bf16; columns beyond the last are zero.
WeightCache::Packed pack_panels(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  const int64_t panels = (p.n + kPanel - 1) / kPanel;
  auto fill = [constant, p, panels](std::byte* memory) {
    const Reading reading = constant.read();
    alignas(64) float row[kPanel] = {};
    alignas(64) uint16_t narrow[kPanel];
    for (int64_t j = 0; j < panels; ++j) {
      const int64_t first = j * kPanel, width = std::min(kPanel, p.n - first);
      std::fill_n(row, kPanel, 0.0F);
      for (int64_t i = 0; i < p.k; ++i) {
        // The file may hold it at any alignment.
        auto copy = [&](int64_t element, float* to, int64_t count) {
          std::memcpy(to, reading.data + element * static_cast<int64_t>(sizeof(float)),
                      static_cast<size_t>(count) * sizeof(float));
        };
        if (p.turned)
          for (int64_t c = 0; c < width; ++c) copy((first + c) * p.k + i, row + c, 1);
        else
          copy(i * p.n + first, row, width);
        if (p.type == DType::kF32) {
          std::memcpy(memory + (j * p.k + i) * kPanel * static_cast<int64_t>(sizeof(float)), row, sizeof row);
          continue;
        }
        vec::loops().narrow(row, narrow, kPanel);
        auto* pairs = reinterpret_cast<uint16_t*>(memory) + (j * p.k + i / 2 * 2) * kPanel + i % 2;
        for (int64_t c = 0; c < kPanel; ++c) pairs[2 * c] = narrow[c];
      }
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t each = p.type == DType::kF32 ? sizeof(float) : sizeof(uint16_t);
  const size_t bytes = static_cast<size_t>(panels * p.k * kPanel) * each;
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  const std::string form = std::string(p.turned ? "turned panels of 48, " : "panels of 48, ") +
                           std::string(p.type == DType::kF32 ? "f32" : "bf16");
  return request.weights->get_or_pack(constant, form, bytes, std::move(fill));
}

class TiledProduct final : public Kernel {
 public:
  TiledProduct(const NodeRequest& request, const Problem& problem, vec::TileProduct product)
      : p_(problem), product_(product), post_ops_(request.node.post_ops), weights_(pack_panels(request, problem)) {
    const int64_t blocks = (p_.m + kBlockRows - 1) / kBlockRows;
    block_ = ((p_.m + blocks - 1) / blocks + kPanelRows - 1) / kPanelRows * kPanelRows;
    parts_ = static_cast<int>(std::min<int64_t>(std::max(1, request.max_width), units()));
    for (const graph::PostOp& op : post_ops_)
      if (op.kind == graph::PostOp::Kind::kAdd && request.inputs[static_cast<size_t>(op.input)].dtype == p_.result)
        in_place_of_ = op.input;
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t count = units();
    auto part = [&](int i, int n) {
      // One panel after another over the same rows.
      for (int64_t unit = count * i / n; unit < count * (i + 1) / n; ++unit)
        run_unit(args, unit / panels(), unit % panels(), (unit + 1) % panels());
    };
    team.run(parts_, part);
  }
  Status finish() const override {
    weights_->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1; }
  std::string implementation() const override {
    return "own tiles " + std::string(p_.type == DType::kF32 ? "f32" : "bf16");
  }
  size_t packed_bytes() const override { return weights_->bytes(); }
  int output_in_place_of(size_t) const override { return in_place_of_; }
  double flops() const override { return 2.0 * static_cast<double>(p_.m * p_.n) * static_cast<double>(p_.k); }

 private:
  int64_t panels() const { return (p_.n + kPanel - 1) / kPanel; }
  int64_t units() const { return (p_.m + block_ - 1) / block_ * panels(); }

  // Block i of rows times panel j; meanwhile panel `next` is brought into the second-level cache.
  void run_unit(const KernelArgs& args, int64_t i, int64_t j, int64_t next) const {
    const int64_t each = p_.type == DType::kF32 ? 4 : 2;
    const int64_t column = j * kPanel, width = std::min(kPanel, p_.n - column);
    const int64_t end = std::min((i + 1) * block_, p_.m);
    alignas(64) float bias[kPanel] = {};
    alignas(64) float tile[kPanelRows * kPanel];
    vec::ProductTile t{.depth = p_.k, .a_row = p_.k};
    const int64_t panel_bytes = p_.k * kPanel * each;
    t.panel = weights_->data() + j * panel_bytes;
    t.columns = static_cast<int>((width + 15) / 16 * 16);
    if (p_.bias >= 0) {
      std::copy_n(reinterpret_cast<const float*>(args.inputs[static_cast<size_t>(p_.bias)].data) + column, width, bias);
      t.bias = bias;
    }
    // Straight to its place where nothing is left to do.
    const bool direct = post_ops_.empty() && p_.result == DType::kF32 && width == kPanel;
    const int64_t tiles = (end - i * block_ + kPanelRows - 1) / kPanelRows;
    t.ahead_lines = panel_bytes <= kAheadBytes ? (panel_bytes / 64 + tiles - 1) / tiles : 0;
    const std::byte* ahead = weights_->data() + next * panel_bytes;
    for (int64_t row = i * block_; row < end; row += kPanelRows, ahead += t.ahead_lines * 64) {
      t.ahead = ahead;
      t.rows = std::min(kPanelRows, end - row);
      t.a = args.inputs[0].data + row * p_.k * each;
      t.out = direct ? reinterpret_cast<float*>(args.outputs[0].data) + row * p_.n + column : tile;
      t.out_row = direct ? p_.n : kPanel;
      product_(t);
      if (!direct) store(args, tile, t.rows, row * p_.n + column, width);
    }
  }

  // What is left to do with a tile, whose first element is number `first` of the result.
  void store(const KernelArgs& args, float* tile, int64_t rows, int64_t first, int64_t width) const {
    const vec::Loops& loops = vec::loops();
    for (const graph::PostOp& op : post_ops_) {
      if (op.kind == graph::PostOp::Kind::kAdd) {
        add(args.inputs[static_cast<size_t>(op.input)], tile, rows, first, width);
      } else {
        apply_post_ops({&op, 1}, args, tile, 0, rows * kPanel);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = tile + r * kPanel;
      const int64_t at = first + r * p_.n;
      if (p_.result == DType::kF32)
        std::copy_n(from, width, reinterpret_cast<float*>(args.outputs[0].data) + at);
      else
        loops.narrow(from, reinterpret_cast<uint16_t*>(args.outputs[0].data) + at, width);
    }
  }

  void add(const TensorView& other, float* tile, int64_t rows, int64_t first, int64_t width) const {
    const vec::Loops& loops = vec::loops();
    alignas(64) float wide[kPanel];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = first + r * p_.n;
      const float* values = reinterpret_cast<const float*>(other.data) + at;
      if (other.dtype == DType::kBF16) {
        loops.widen(reinterpret_cast<const uint16_t*>(other.data) + at, wide, width);
        values = wide;
      }
      loops.binary(vec::Binary::kAdd, tile + r * kPanel, 1, values, 1, tile + r * kPanel, width);
    }
  }

  const Problem p_;
  const vec::TileProduct product_;
  const std::vector<graph::PostOp> post_ops_;
  const WeightCache::Packed weights_;
  int64_t block_ = 0;  // rows
  int parts_ = 1;
  int in_place_of_ = -1;
};

struct Extents {
  int64_t rows, depth, columns;
};
// What stands for products of the same kind: few rows with weights that no near cache holds; many with weights that
// one does. Of bf16 oneDNN's speed depends on the weights' extents: products of many rows are looked at by these.
Extents example_of(const Problem& p) {
  constexpr int64_t kMostWeights = int64_t{1} << 24;
  if (p.m < kFewestRows) return {8, 1024, 4800};
  if (p.type == DType::kF32) return {96, 512, 480};
  return {96, p.k, std::min(p.n, std::max(kPanel, kMostWeights / p.k))};
}

// Whether oneDNN multiplies matrices of this type and these extents faster, both on one core. Of f32 it has to be so
// clearly: tiles gain more than they show here where two cores read weights from a shared cache.
bool onednn_is_faster(const Extents& e, DType type, DType to) {
  const int kRounds = e.depth * e.columns > (int64_t{1} << 20) ? 3 : 8;
  const Tensor left = Tensor::zeros(type, {e.rows, e.depth}), right = Tensor::zeros(DType::kF32, {e.depth, e.columns});
  const Tensor result = Tensor::zeros(to, {e.rows, e.columns});
  graph::Node node;
  node.op = "MatMul";
  node.inputs = {0, 1};
  node.outputs = {2};
  const std::array<TensorSpec, 2> inputs = {TensorSpec{type, left.shape()}, {DType::kF32, right.shape()}};
  const std::array<TensorSpec, 1> outputs = {TensorSpec{to, result.shape()}};
  const std::array<bool, 2> present = {true, true};
  const std::array<const Tensor*, 2> constants = {nullptr, &right};
  const NodeRequest request{.node = node,
                            .inputs = inputs,
                            .present = present,
                            .constants = constants,
                            .outputs = outputs,
                            .lowered = type == DType::kBF16};
  auto own = plan_tiled_product(request);
  auto other = onednn::plan_matmul(request);
  if (!own.ok() || !other.ok()) return false;
  const std::array<const Kernel*, 2> kernels = {own->get(), other->get()};
  const std::array<TensorView, 2> operands = {left.view(), right.view()};
  const std::array<TensorView, 1> results = {result.view()};
  const SteadyClock clock;
  std::array<Nanos, 2> best = {kNever, kNever};
  for (const Kernel* kernel : kernels)
    if (!kernel->finish().ok()) return false;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kernels.size(); ++i) {
      const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernels[i]->scratch_bytes())});
      const Nanos begin = clock.now();
      kernels[i]->run({.inputs = operands, .outputs = results, .scratch = scratch.view().data}, device::Team::serial());
      best[i] = std::min(best[i], clock.now() - begin);
    }
  }
  const double clearly = type == DType::kF32 ? 0.9 : 1.0;
  return static_cast<double>(best[1].value) < clearly * static_cast<double>(best[0].value);
}

}  // namespace

Result<KernelPtr> plan_tiled_product(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  const vec::TileProduct product = problem.type == DType::kF32 ? vec::f32_tile_product() : vec::bf16_tile_product();
  if (product == nullptr)
    return unsupported(problem.type == DType::kF32 ? "a CPU without AVX-512" : "a CPU without AVX512_BF16");
  if (request.choices != nullptr) {
    const Extents e = example_of(problem);
    const std::string name = "tiles of " + std::string(dtype_kserve_name(problem.type)) + " to " +
                             std::string(dtype_kserve_name(problem.result)) + ' ' +
                             shape_to_string(Shape{e.rows, e.depth, e.columns});
    if (request.choices->pick(name, [&] { return onednn_is_faster(e, problem.type, problem.result) ? 1 : 0; }) == 1)
      return unsupported("oneDNN's products are faster here");
  }
  return KernelPtr(std::make_unique<TiledProduct>(request, problem, product));
}

}  // namespace motet::ops
