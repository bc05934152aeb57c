#include "compute/ops/matmul/tiles.h"

#include <algorithm>
#include <cstring>

#include "compute/graph/file_map.h"
#include "compute/ops/matmul/constant_product.h"
#include "compute/ops/matmul/race.h"
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

using Problem = ConstantProduct;

Result<Problem> read_problem(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem p, read_constant_product(request));
  if ((p.m < kFewestRows && p.type == DType::kF32) || p.n < kPanel)
    return unsupported(std::to_string(p.m) + " rows and " + std::to_string(p.n) + " columns, which are too few");
  if (p.type == DType::kBF16 && p.k % 2 != 0) return unsupported("an odd number of bf16 in a row");
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
        copy_row(p, reading.data, i, first, width, row);
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

// What stands for products of the same kind: few rows with weights that no near cache holds; many with weights that
// one does. Of bf16 oneDNN's speed depends on the weights' extents: products of many rows are looked at by these.
RaceProduct example_of(const Problem& p) {
  constexpr int64_t kMostWeights = int64_t{1} << 24;
  if (p.m < kFewestRows) return {8, 1024, 4800, p.type, p.result};
  if (p.type == DType::kF32) return {96, 512, 480, p.type, p.result};
  return {96, p.k, std::min(p.n, std::max(kPanel, kMostWeights / p.k)), p.type, p.result};
}

// Whether oneDNN does it faster, both on one core. Of f32 it has to be so clearly: tiles gain more than they show here
// where two cores read weights from a shared cache.
bool onednn_is_faster(const RaceProduct& example) {
  const int rounds = example.depth * example.columns > (int64_t{1} << 20) ? 3 : 8;
  const auto times = race(example, {plan_tiled_product, onednn::plan_matmul}, rounds);
  if (!times) return false;
  const double clearly = example.type == DType::kF32 ? 0.9 : 1.0;
  const auto [own, other] = *times;
  return static_cast<double>(other.value) < clearly * static_cast<double>(own.value);
}

}  // namespace

Result<KernelPtr> plan_tiled_product(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  const vec::TileProduct product = problem.type == DType::kF32 ? vec::f32_tile_product() : vec::bf16_tile_product();
  if (product == nullptr)
    return unsupported(problem.type == DType::kF32 ? "a CPU without AVX-512" : "a CPU without AVX512_BF16");
  if (request.choices != nullptr) {
    const RaceProduct example = example_of(problem);
    const std::string name = "tiles of " + std::string(dtype_kserve_name(problem.type)) + " to " +
                             std::string(dtype_kserve_name(problem.result)) + ' ' +
                             shape_to_string(Shape{example.rows, example.depth, example.columns});
    if (request.choices->pick(name, [&] { return onednn_is_faster(example) ? 1 : 0; }) == 1)
      return unsupported("oneDNN's products are faster here");
  }
  return KernelPtr(std::make_unique<TiledProduct>(request, problem, product));
}

}  // namespace motet::ops
