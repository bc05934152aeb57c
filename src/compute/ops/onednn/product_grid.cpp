// Long products of many rows with a constant right-hand side, cut into a grid of smaller products: each is one
// primitive on one core, so that cutting loses almost nothing, where oneDNN's own splitting of small shapes loses up to
// a fifth. The weights are packed once in strips of columns, whatever the grid. For few rows matmul.cpp is faster.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "compute/device/team.h"
#include "compute/graph/file_map.h"
#include "compute/ops/matmul/constant_product.h"
#include "compute/ops/onednn/common.h"
#include "compute/ops/support/request.h"

namespace motet::ops::onednn {
namespace {

// Fewer rows do not repay that each piece brings its strip of the weights into the order of oneDNN's inner loops again.
constexpr int64_t kFewestRows = 64;
constexpr int64_t kRowsOfPiece = 96;  // at least, where rows are cut
constexpr int64_t kRowStep = 16;
constexpr int64_t kStrip = 128;  // columns of a piece
// A shorter product is done before a quantum is over, and a part would be overhead.
constexpr double kFewestFlops = 5e7;

// Pieces of `size`, but for the last.
struct Extent {
  int64_t count = 1, size = 0, whole = 0;
  Extent() = default;
  Extent(int64_t all, int64_t each) : count((all + each - 1) / each), size(each), whole(all) {}
  int64_t begin(int64_t i) const { return i * size; }
  int64_t length(int64_t i) const { return std::min(size, whole - begin(i)); }
  bool last(int64_t i) const { return i + 1 == count; }
};

using Problem = ConstantProduct;

Result<Problem> read_problem(const NodeRequest& request) {
  if (auto error = refuse_unless_f32(request)) return *error;
  if (request.max_width < 2) return unsupported("one part, which oneDNN's own product does as well");
  MOTET_ASSIGN(const Problem p, read_constant_product(request));
  if (p.m < kFewestRows || p.n < 2 * kStrip)
    return unsupported(std::to_string(p.m) + " rows and " + std::to_string(p.n) + " columns, which are too few to cut");
  if (2.0 * static_cast<double>(p.m * p.n) * static_cast<double>(p.k) < kFewestFlops)
    return unsupported("a product that is too short to cut");
  return p;
}

// The right-hand side strip by strip, each [k, columns].
WeightCache::Packed pack_strips(const NodeRequest& request, const Problem& p, const Extent& columns) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p, columns](std::byte* memory) {
    const Reading reading = constant.read();
    auto* to = reinterpret_cast<float*>(memory);
    for (int64_t j = 0; j < columns.count; ++j) {
      const int64_t first = columns.begin(j), width = columns.length(j);
      for (int64_t i = 0; i < p.k; ++i, to += width) copy_row(p, reading.data, i, first, width, to);
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(p.k * p.n) * sizeof(float);
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  return request.weights->get_or_pack(constant, p.turned ? "turned strips of 128" : "strips of 128", bytes,
                                      std::move(fill));
}

class GridKernel final : public Kernel {
 public:
  GridKernel(const NodeRequest& request, const Problem& problem)
      : p_(problem), columns_(problem.n, kStrip), weights_(pack_strips(request, problem, columns_)) {
    // Rows are cut where the strips alone do not make as many parts as wanted.
    const int64_t wanted = (request.max_width + columns_.count - 1) / columns_.count;
    const int64_t blocks = std::max<int64_t>(1, std::min(wanted, p_.m / kRowsOfPiece));
    rows_ = Extent(p_.m, ((p_.m + blocks - 1) / blocks + kRowStep - 1) / kRowStep * kRowStep);
    parts_ = static_cast<int>(std::min<int64_t>(request.max_width, pieces()));
  }

  // Makes the primitives of each size of piece; throws dnnl::error.
  Status make(const FusedOps& fused) {
    for (const bool last_row : {false, true}) {
      for (const bool last_column : {false, true}) {
        Piece& piece = pieces_[index(last_row, last_column)];
        const int64_t m = rows_.length(last_row ? rows_.count - 1 : 0);
        const int64_t n = columns_.length(last_column ? columns_.count - 1 : 0);
        const auto f32 = dnnl::memory::data_type::f32;
        piece.left = Desc({m, p_.k}, f32, Dims{p_.k, 1});
        piece.right = Desc({p_.k, n}, f32, Dims{n, 1});
        piece.bias = Desc({1, n}, f32, Dims{n, 1});
        piece.result = Desc({m, n}, f32, Dims{p_.n, 1});
        auto desc = p_.bias >= 0 ? dnnl::matmul::desc(piece.left, piece.right, piece.bias, piece.result)
                                 : dnnl::matmul::desc(piece.left, piece.right, piece.result);
        dnnl::matmul::primitive_desc description(desc, attributes(fused.ops), cpu_engine());
        name_ = description.impl_info_str();
        if (is_slow(name_)) return unsupported("only oneDNN's own " + name_);
        piece.scratchpad = description.scratchpad_desc();
        scratch_each_ = std::max(scratch_each_, (piece.scratchpad.get_size() + 63) / 64 * 64);
        piece.primitive = dnnl::matmul(description);
      }
    }
    in_place_of_ = fused.sum_input;
    return {};
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t count = pieces();
    auto part = [&](int i, int n) {
      // Neighbours share a strip of the weights.
      for (int64_t at = count * i / n; at < count * (i + 1) / n; ++at)
        run_piece(args, at % rows_.count, at / rows_.count, i);
    };
    team.run(parts_, part);
  }
  Status finish() const override {
    weights_->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1; }
  std::string implementation() const override {
    return "onednn " + name_ + " in " + std::to_string(rows_.count) + "x" + std::to_string(columns_.count);
  }
  size_t scratch_bytes() const override { return scratch_each_ * static_cast<size_t>(parts_); }
  size_t packed_bytes() const override { return weights_->bytes(); }
  int output_in_place_of(size_t) const override { return in_place_of_; }
  bool must_be_in_place() const override { return in_place_of_ >= 0; }
  double flops() const override { return 2.0 * static_cast<double>(p_.m * p_.n) * static_cast<double>(p_.k); }

 private:
  struct Piece {
    dnnl::primitive primitive;
    Desc left, right, bias, result, scratchpad;
  };
  static size_t index(bool last_row, bool last_column) { return (last_row ? 2U : 0U) + (last_column ? 1U : 0U); }

  int64_t pieces() const { return rows_.count * columns_.count; }

  // Rows i of strip j, with the scratch of this part.
  void run_piece(const KernelArgs& args, int64_t i, int64_t j, int part) const {
    thread_local dnnl::stream stream(cpu_engine());
    const Piece& piece = pieces_[index(rows_.last(i), columns_.last(j))];
    const int64_t row = rows_.begin(i), column = columns_.begin(j);
    auto memory = [](const Desc& desc, const std::byte* data, int64_t element) {
      const std::byte* from = data + element * static_cast<int64_t>(sizeof(float));
      return dnnl::memory(desc, cpu_engine(), const_cast<std::byte*>(from));
    };
    const dnnl::memory left = memory(piece.left, args.inputs[0].data, row * p_.k);
    const dnnl::memory right = memory(piece.right, weights_->data(), column * p_.k);
    const dnnl::memory result = memory(piece.result, args.outputs[0].data, row * p_.n + column);
    const dnnl::memory scratch = memory(piece.scratchpad, args.scratch + scratch_each_ * static_cast<size_t>(part), 0);
    const dnnl::memory bias = p_.bias >= 0 ? memory(piece.bias, args.inputs[2].data, column) : dnnl::memory();
    std::array<dnnl_exec_arg_t, 5> arguments = {{{DNNL_ARG_SRC, left.get()},
                                                 {DNNL_ARG_WEIGHTS, right.get()},
                                                 {DNNL_ARG_DST, result.get()},
                                                 {DNNL_ARG_SCRATCHPAD, scratch.get()}}};
    int count = 4;
    if (p_.bias >= 0) arguments[static_cast<size_t>(count++)] = {DNNL_ARG_BIAS, bias.get()};
    device::set_compile_width(1);  // a piece is one core's
    const auto status = dnnl_primitive_execute(piece.primitive.get(), stream.get(), count, arguments.data());
    MOTET_CHECK(status == dnnl_success, "oneDNN runs a primitive it has planned");
  }

  const Problem p_;
  const Extent columns_;
  const WeightCache::Packed weights_;
  Extent rows_;
  int parts_ = 1;
  std::array<Piece, 4> pieces_;
  std::string name_;
  size_t scratch_each_ = 0;
  int in_place_of_ = -1;
};

}  // namespace

Result<KernelPtr> plan_product_grid(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  MOTET_ASSIGN(const FusedOps fused, fuse(request.node.post_ops));
  return guarded([&]() -> Result<KernelPtr> {
    const PartsScope one(1);
    auto kernel = std::make_unique<GridKernel>(request, problem);
    MOTET_RETURN_IF_ERROR(kernel->make(fused));
    return KernelPtr(std::move(kernel));
  });
}

}  // namespace motet::ops::onednn
