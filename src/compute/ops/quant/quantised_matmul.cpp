#include "compute/ops/quant/quantised_matmul.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/matmul/race.h"
#include "compute/ops/quant/packed_int8.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/choices.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/int8.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// Up to so many rows reading the weights may take so much of the time that widening them is as fast.
constexpr int64_t kFewRows = 8;
constexpr int64_t kDeepest = 65536;          // sums in i32 hold as many products of u8 and i8
constexpr int64_t kRowsOfUnit = 48;          // of one unit of work; a multiple of the tiles'
constexpr int64_t kPanelsOfUnit = 4;         // at most
constexpr int64_t kUnitsOfPart = 4;          // wanted
constexpr int64_t kQuantiseGrain = 1 << 15;  // elements

struct Problem {
  int64_t rows = 0, depth = 0, columns = 0;
  bool biased = false;
  bool per_tensor = false;
};

Status check_post_ops(const NodeRequest& request) {
  for (const graph::PostOp& op : request.node.post_ops) {
    if (op.kind != graph::PostOp::Kind::kAdd) continue;
    const auto i = static_cast<size_t>(op.input);
    if (op.input < 0 || !has_input(request, i) || request.inputs[i].dtype != DType::kF32 ||
        request.inputs[i].shape != request.outputs[0].shape)
      return unsupported("a fused addition of another shape or type than the result's");
  }
  return {};
}

Result<Problem> read_problem(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, std::numeric_limits<int>::max()));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32}));
  const TensorSpec &x = request.inputs[0], &w = request.inputs[1];
  if (constant_input(request, 1) == nullptr || w.shape.size() != 2 || x.shape.empty())
    return unsupported(describe(x) + " times " + describe(w) + "; constant weights of rank 2 are possible");
  const bool turned = request.node.int_or("transB", 0) != 0;
  Problem p{.depth = x.shape.back(), .columns = w.shape[turned ? 0 : 1]};
  if (w.shape[turned ? 1 : 0] != p.depth || p.depth == 0 || p.columns == 0)
    return unsupported(describe(x) + " times " + describe(w));
  p.rows = product(x.shape, 0, x.shape.size() - 1);
  Shape out = x.shape;
  out.back() = p.columns;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kF32, out));
  p.biased = has_input(request, 2);
  for (const graph::PostOp& op : request.node.post_ops) p.biased = p.biased && op.input != 2;
  if (p.biased && (request.inputs[2].dtype != DType::kF32 || elements(request.inputs[2].shape) != p.columns))
    return unsupported("a bias " + describe(request.inputs[2]) + " for " + std::to_string(p.columns) + " columns");
  p.per_tensor = request.node.int_or("per_tensor", 0) != 0;
  MOTET_RETURN_IF_ERROR(check_post_ops(request));
  return p;
}

Result<PackedInt8> packed_weights(const NodeRequest& request, const Problem& p) {
  const Tensor& weights = *request.constants[1];
  if (weights.dtype() == DType::kF32)
    return PackedInt8::quantised(request.weights, weights, request.node.int_or("transB", 0) != 0);
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32, DType::kI8, DType::kU8}));
  if (request.node.int_or("transB", 0) != 0) return unsupported("transB 1 with weights that are integers");
  MOTET_ASSIGN(const std::vector<float> scales, constant_floats(request, 3, "scales"));
  std::vector<int32_t> zeros(1);
  if (const Tensor* given = constant_input(request, 4)) {
    zeros.clear();
    if (given->dtype() == DType::kI8) {
      for (int8_t zero : given->view().as<const int8_t>()) zeros.push_back(zero);
    } else if (given->dtype() == DType::kU8) {
      for (uint8_t zero : given->view().as<const uint8_t>()) zeros.push_back(zero);
    }
  }
  for (size_t count : {scales.size(), zeros.size()})
    if (count != 1 && count != static_cast<size_t>(p.columns))
      return unsupported(std::to_string(count) + " scales or zero points for " + std::to_string(p.columns) +
                         " columns");
  return PackedInt8::given(request.weights, weights, scales, zeros);
}

// The quantised rows in the scratch.
struct Rows {
  uint8_t* bytes;
  float* scales;
  int32_t* zeros;
  vec::Range* ranges;  // of each row, where all are quantised alike
  Rows(std::byte* scratch, const Problem& p)
      : bytes(reinterpret_cast<uint8_t*>(scratch)),
        scales(reinterpret_cast<float*>(bytes + padded(p.rows * pitch(p)))),
        zeros(reinterpret_cast<int32_t*>(scales + p.rows)),
        ranges(reinterpret_cast<vec::Range*>(zeros + p.rows)) {}
  static int64_t pitch(const Problem& p) { return vec::quads_of(p.depth) * vec::kQuad; }
  static size_t size(const Problem& p) {
    return static_cast<size_t>(padded(p.rows * pitch(p)) + p.rows * (p.per_tensor ? 16 : 8));
  }
  static int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

class QuantisedProduct final : public Kernel {
 public:
  QuantisedProduct(const NodeRequest& request, const Problem& problem, PackedInt8 weights, bool dynamic)
      : p_(problem),
        weights_(std::move(weights)),
        dynamic_(dynamic),
        given_(request.inputs[1].dtype != DType::kF32),
        post_ops_(request.node.post_ops) {
    row_blocks_ = (p_.rows + kRowsOfUnit - 1) / kRowsOfUnit;
    for (panels_ = kPanelsOfUnit; panels_ > 1; panels_ /= 2)
      if (units() >= kUnitsOfPart * request.max_width) break;
    parts_ = static_cast<int>(std::min<int64_t>(request.max_width, units()));
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    if (p_.rows == 0) return;
    vec::Int8Block all{.depth = p_.depth,
                       .panels = weights_.numbers(),
                       .scales = weights_.scales(),
                       .sums = weights_.sums(),
                       .bias = p_.biased ? input_data<float>(args, 2) : nullptr,
                       .x = input_data<float>(args, 0),
                       .x_row = p_.depth,
                       .y = output_data<float>(args, 0),
                       .y_row = p_.columns};
    if (dynamic_) {
      const Rows rows(args.scratch, p_);
      quantise(all.x, rows, team);
      all.bytes = rows.bytes;
      all.x_row = Rows::pitch(p_);
      all.row_scales = rows.scales;
      all.row_zeros = rows.zeros;
    }
    auto part = [&](int i, int n) {
      // Neighbours share a strip of the weights.
      const int64_t count = units();
      for (int64_t at = count * i / n; at < count * (i + 1) / n; ++at)
        run_unit(args, all, at % row_blocks_, at / row_blocks_);
    };
    team.run(parts_, part);
  }

  Status finish() const override {
    weights_.prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1 && !(given_ && (input == 3 || input == 4)); }
  std::string implementation() const override {
    return dynamic_ ? "own int8 dynamic" : std::string("own int8 weight-only ") + vec::loops().isa;
  }
  size_t scratch_bytes() const override { return dynamic_ ? Rows::size(p_) : 0; }
  size_t packed_bytes() const override { return weights_.bytes(); }
  double flops() const override {
    return 2.0 * static_cast<double>(p_.rows * p_.columns) * static_cast<double>(p_.depth);
  }

 private:
  int64_t strips() const { return (weights_.panels() + panels_ - 1) / panels_; }
  int64_t units() const { return row_blocks_ * strips(); }

  static void set_row(vec::Range range, const Rows& to, int64_t row) {
    // Each side by itself: their difference may overflow.
    const float scale = range.most / 255.0F - range.least / 255.0F;
    const bool usable = scale >= std::numeric_limits<float>::min() && std::isfinite(scale);
    to.scales[row] = usable ? scale : scale * 0;  // NaN stays
    to.zeros[row] = usable ? static_cast<int32_t>(std::nearbyint(-range.least / scale)) : 0;
  }

  // NaN if any is.
  vec::Range range_of_all(const Rows& rows) const {
    vec::Range all;
    for (int64_t r = 0; r < p_.rows; ++r) {
      all.least = rows.ranges[r].least >= all.least ? all.least : rows.ranges[r].least;
      all.most = rows.ranges[r].most <= all.most ? all.most : rows.ranges[r].most;
      if (std::isnan(all.least)) break;
    }
    return all;
  }

  void quantise(const float* x, const Rows& to, device::Team& team) const {
    const vec::ByteLoops& loops = *vec::byte_loops();
    const int64_t grain = (kQuantiseGrain + p_.depth - 1) / p_.depth;
    if (p_.per_tensor) {
      team.for_range(p_.rows, grain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) to.ranges[r] = loops.range(x + r * p_.depth, p_.depth);
      });
    }
    team.for_range(p_.rows, grain, [&](int64_t begin, int64_t end) {
      const vec::Range all = p_.per_tensor ? range_of_all(to) : vec::Range();
      for (int64_t r = begin; r < end; ++r) {
        set_row(p_.per_tensor ? all : loops.range(x + r * p_.depth, p_.depth), to, r);
        loops.quantise(x + r * p_.depth, p_.depth, to.scales[r], to.zeros[r], to.bytes + r * Rows::pitch(p_));
      }
    });
  }

  // Rows of block i by strip j of the weights.
  void run_unit(const KernelArgs& args, const vec::Int8Block& all, int64_t i, int64_t j) const {
    const int64_t row = i * kRowsOfUnit, column = j * panels_ * vec::kInt8Columns;
    vec::Int8Block block = all;
    block.rows = std::min(kRowsOfUnit, p_.rows - row);
    block.columns = std::min(panels_ * vec::kInt8Columns, p_.columns - column);
    block.panels += j * panels_ * vec::panel_bytes(p_.depth);
    block.scales += column;
    block.sums += column;
    if (block.bias != nullptr) block.bias += column;
    block.y += row * block.y_row + column;
    if (dynamic_) {
      block.bytes += row * block.x_row;
      block.row_scales += row;
      block.row_zeros += row;
      vec::byte_loops()->multiply(block);
    } else {
      block.x += row * block.x_row;
      vec::loops().multiply_i8(block);
    }
    if (post_ops_.empty()) return;
    for (int64_t r = 0; r < block.rows; ++r)
      apply_post_ops(post_ops_, args, block.y + r * block.y_row, (row + r) * p_.columns + column, block.columns);
  }

  const Problem p_;
  const PackedInt8 weights_;
  const bool dynamic_;
  const bool given_;  // weights that are integers in the model, with scales and zero points
  const std::vector<graph::PostOp> post_ops_;
  int64_t row_blocks_ = 1;
  int64_t panels_ = 1;  // of a strip
  int parts_ = 1;
};

Result<KernelPtr> plan(const NodeRequest& request, const Problem& problem, bool dynamic) {
  MOTET_ASSIGN(PackedInt8 weights, packed_weights(request, problem));
  return KernelPtr(std::make_unique<QuantisedProduct>(request, problem, std::move(weights), dynamic));
}

// Whether widening the weights takes no longer, on one core and with weights that no near cache holds: then x need not
// be quantised.
bool weight_only_is_as_fast(const Problem& p) {
  constexpr int64_t kMostWeights = 8 << 20;  // elements
  constexpr int kRounds = 5;
  constexpr double kAsFast = 1.1;
  const int64_t columns = std::min(p.columns, std::max<int64_t>(kMostWeights / p.depth, vec::kInt8Columns));
  const auto times = race({.rows = p.rows, .depth = p.depth, .columns = columns},
                          {plan_dynamic_product, plan_weight_only_product}, kRounds);
  return times && static_cast<double>((*times)[1].value) < kAsFast * static_cast<double>((*times)[0].value);
}

}  // namespace

Result<KernelPtr> plan_dynamic_product(const NodeRequest& request) {
  if (vec::byte_loops() == nullptr) return unsupported("this CPU has no AVX512_VNNI");
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  if (problem.depth > kDeepest)
    return unsupported("sums of " + std::to_string(problem.depth) + " products, which may not fit i32");
  if (problem.rows <= kFewRows && !problem.per_tensor && request.choices != nullptr) {
    const std::string name = "int8 product " + shape_to_string(Shape{problem.rows, problem.depth, problem.columns});
    if (request.choices->pick(name, [&] { return weight_only_is_as_fast(problem) ? 1 : 0; }) == 1)
      return unsupported("weights alone as int8 are as fast here for " + name);
  }
  return plan(request, problem, true);
}

Result<KernelPtr> plan_weight_only_product(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  return plan(request, problem, false);
}

}  // namespace motet::ops
