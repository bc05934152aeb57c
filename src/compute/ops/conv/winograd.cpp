#include "compute/ops/conv/winograd.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "compute/graph/file_map.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"
#include "compute/ops/vector/loops.h"
#include "compute/ops/vector/winograd.h"

namespace motet::ops {
namespace {

using vec::kWinogradBlock;
using vec::kWinogradColumns;
using vec::kWinogradPoints;
using vec::kWinogradRows;
using vec::PicturePitch;

// Points of the patches of a block, about: they stay in the second-level cache while panel after panel passes.
constexpr int64_t kPointBytes = int64_t{384} << 10;
constexpr int64_t kMostPatches = 48;
constexpr int64_t kMostChannels = 1024;  // so that a few patches' points fit
// Keeps points, and rows of one, from falling into the same few sets of a cache.
constexpr int64_t kSkew = 32;

struct Problem {
  int64_t batch = 0, in = 0, out = 0;  // channels
  WindowAxis rows, columns;
  Layout layout = Layout::kNhwc;
  bool biased = false;
  int addend = -1;  // input
  float least = -std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::infinity();

  int64_t patch_rows() const { return (rows.out + 1) / 2; }
  int64_t patch_columns() const { return (columns.out + 1) / 2; }
  int64_t patches() const { return batch * patch_rows() * patch_columns(); }
  int64_t panels() const { return (out + kWinogradColumns - 1) / kWinogradColumns; }
};

PicturePitch pitch_of(Layout layout, int64_t channels, int64_t height, int64_t width) {
  if (layout == Layout::kNhwc) return {width * channels, channels, kWinogradBlock};
  return {width * kWinogradBlock, kWinogradBlock, height * width * kWinogradBlock};
}

Status read_post_ops(const NodeRequest& request, Problem& p) {
  using Kind = graph::PostOp::Kind;
  bool limited = false;
  for (const graph::PostOp& op : request.node.post_ops) {
    if (limited) return unsupported("a fused op after a limit");
    switch (op.kind) {
      case Kind::kAdd: {
        if (p.addend >= 0 || op.input < 0 || !has_input(request, static_cast<size_t>(op.input)))
          return unsupported("a fused addition of absent or several inputs");
        const TensorSpec& other = request.inputs[static_cast<size_t>(op.input)];
        if (other.shape != request.outputs[0].shape || other.dtype != DType::kBF16)
          return unsupported("a fused addition of " + describe(other));
        p.addend = op.input;
        break;
      }
      case Kind::kRelu:
        p.least = 0;
        limited = true;
        break;
      case Kind::kClip:
        p.least = op.alpha;
        p.most = op.beta;
        limited = true;
        break;
      default: return unsupported("fused ops other than an addition, Relu and Clip");
    }
  }
  return {};
}

Result<Problem> read_problem(const NodeRequest& request) {
  if (!request.winograd) return unsupported("not asked for");
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, request.inputs.size()));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kBF16}));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const TensorSpec &x = request.inputs[0], &w = request.inputs[1], &y = request.outputs[0];
  if (constant_input(request, 1) == nullptr) return unsupported("weights that are not constant");
  if (x.shape.size() != 4 || y.shape.size() != 4 || elements(y.shape) == 0) return unsupported("of " + describe(x));
  Problem p{.batch = x.shape[0], .in = x.shape[1], .out = y.shape[1], .layout = request.preferred};
  if (request.node.int_or("group", 1) != 1 || w.shape != Shape{p.out, p.in, 3, 3})
    return unsupported("weights " + describe(w) + "; 3x3 of one group are needed");
  if (p.in % kWinogradBlock != 0 || p.out % kWinogradBlock != 0 || p.in > kMostChannels)
    return unsupported("channels that do not come in sixteens, or more than 1024");
  if (p.layout != Layout::kNhwc && p.layout != Layout::kNChw16c) return unsupported("another layout");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kBF16, {p.batch, p.out, y.shape[2], y.shape[3]}));
  MOTET_ASSIGN(const Window window, window_of(request, {3, 3}));
  p.rows = window.axes[1];
  p.columns = window.axes[2];
  for (const WindowAxis& axis : {p.rows, p.columns})
    if (axis.stride != 1 || axis.dilation != 1) return unsupported("a stride or dilation other than 1");
  const bool residual = std::any_of(request.node.post_ops.begin(), request.node.post_ops.end(),
                                    [](const graph::PostOp& op) { return op.input == 2; });
  p.biased = has_input(request, 2) && !residual;
  if (p.biased && (request.inputs[2].dtype != DType::kF32 || request.inputs[2].shape != Shape{p.out}))
    return unsupported("a bias of " + describe(request.inputs[2]));
  MOTET_RETURN_IF_ERROR(read_post_ops(request, p));
  return p;
}

// G g G^T, with G as in the paper.
void points_of_weights(const float (&g)[9], float (&points)[16]) {
  auto transform = [](float a, float b, float c, float* to, int64_t step) {
    to[0] = a;
    to[step] = (a + b + c) * 0.5F;
    to[2 * step] = (a - b + c) * 0.5F;
    to[3 * step] = c;
  };
  float rows[4][3];
  for (int c = 0; c < 3; ++c) transform(g[c], g[3 + c], g[6 + c], &rows[0][c], 3);
  for (int r = 0; r < 4; ++r) transform(rows[r][0], rows[r][1], rows[r][2], points + int64_t{4} * r, 1);
}

// [panel, point, in / 2, kWinogradColumns, 2] in bf16; columns beyond the last are zero.
WeightCache::Packed pack_points(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p](std::byte* memory) {
    const Reading reading = constant.read();
    auto* to = reinterpret_cast<uint16_t*>(memory);
    std::fill_n(to, p.panels() * kWinogradPoints * p.in * kWinogradColumns, uint16_t{0});
    for (int64_t o = 0; o < p.out; ++o) {
      for (int64_t i = 0; i < p.in; ++i) {
        float g[9], points[kWinogradPoints];
        uint16_t narrow[kWinogradPoints];
        // The file may hold it at any alignment.
        std::memcpy(g, reading.data + (o * p.in + i) * static_cast<int64_t>(sizeof g), sizeof g);
        points_of_weights(g, points);
        vec::loops().narrow(points, narrow, kWinogradPoints);
        const int64_t column = o % kWinogradColumns;
        for (int64_t k = 0; k < kWinogradPoints; ++k)
          to[((o / kWinogradColumns * kWinogradPoints + k) * p.in + i / 2 * 2) * kWinogradColumns + 2 * column +
             i % 2] = narrow[k];
      }
    }
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const size_t bytes = static_cast<size_t>(p.panels() * kWinogradPoints * p.in * kWinogradColumns) * sizeof(uint16_t);
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  return request.weights->get_or_pack(constant, "winograd 2x2 in panels of 32, bf16", bytes, std::move(fill));
}

// Of the calling thread, at least `bytes` at an address that is a multiple of 64: points and sums, which are of no use
// after the call, and so lie in the core's near cache again for the next one.
std::byte* room(size_t bytes) {
  struct Room {
    std::unique_ptr<std::byte[]> memory;
    size_t bytes = 0;
  };
  thread_local Room own;
  if (own.bytes < bytes) own = {std::make_unique<std::byte[]>(bytes + 64), bytes};
  const auto address = reinterpret_cast<uintptr_t>(own.memory.get());
  return own.memory.get() + ((address + 63) / 64 * 64 - address);
}

class WinogradConvolution final : public Kernel {
 public:
  WinogradConvolution(const NodeRequest& request, const Problem& problem, const vec::WinogradLoops& loops)
      : p_(problem), loops_(loops), weights_(pack_points(request, problem)) {
    const int64_t most = std::clamp<int64_t>(kPointBytes / (kWinogradPoints * p_.in * 2), kWinogradRows, kMostPatches);
    const int64_t parts = std::max(1, request.max_width), cores = std::max(1, request.cores);
    blocks_ = (p_.patches() + most - 1) / most;
    // A few patches more than that lose less than reading all weights again.
    if (p_.patches() * 2 < most * 3) blocks_ = 1;
    if (blocks_ < cores)
      groups_ = std::min(p_.panels(), (cores + blocks_ - 1) / blocks_);
    else
      blocks_ = std::min(p_.patches(), (blocks_ + cores - 1) / cores * cores);
    parts_ = static_cast<int>(std::min(parts, units()));
    const int64_t each = (p_.patches() + blocks_ - 1) / blocks_;
    row_ = p_.in + kSkew;
    point_ = each * row_ + kSkew;
    sums_point_ = each * kWinogradColumns + kWinogradBlock;
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t count = units();
    auto part = [&](int i, int n) {
      const int64_t point_bytes = (kWinogradPoints * point_ * 2 + 63) / 64 * 64;
      std::byte* memory = room(static_cast<size_t>(point_bytes + kWinogradPoints * sums_point_ * 4));
      auto* points = reinterpret_cast<uint16_t*>(memory);
      auto* sums = reinterpret_cast<float*>(memory + point_bytes);
      int64_t block = -1;
      for (int64_t unit = count * i / n; unit < count * (i + 1) / n; ++unit) {
        if (unit / groups_ != block) transform(args, block = unit / groups_, points);
        const int64_t group = unit % groups_;
        for (int64_t panel = p_.panels() * group / groups_; panel < p_.panels() * (group + 1) / groups_; ++panel)
          multiply(args, block, panel, points, sums);
      }
    };
    team.run(parts_, part);
  }
  Status finish() const override {
    weights_->prepare();
    return {};
  }
  bool reads(size_t input) const override { return input != 1; }
  std::string implementation() const override { return "own winograd bf16"; }
  Layout input_layout(size_t input) const override {
    return input == 0 || static_cast<int>(input) == p_.addend ? p_.layout : Layout::kRowMajor;
  }
  Layout output_layout(size_t) const override { return p_.layout; }
  size_t packed_bytes() const override { return weights_->bytes(); }
  int output_in_place_of(size_t) const override { return p_.addend; }
  double flops() const override {
    return 18.0 * static_cast<double>(p_.batch * p_.rows.out * p_.columns.out) * static_cast<double>(p_.in * p_.out);
  }

 private:
  struct Place {
    int64_t image, row, column;  // of its first result
  };

  int64_t units() const { return blocks_ * groups_; }
  int64_t first_patch(int64_t block) const { return p_.patches() * block / blocks_; }
  Place place_of(int64_t patch) const {
    const int64_t in_row = patch / p_.patch_columns();
    return {in_row / p_.patch_rows(), in_row % p_.patch_rows() * 2, patch % p_.patch_columns() * 2};
  }

  // Bits of the patch's four pixels along an axis that lie in the picture.
  static unsigned inside(const WindowAxis& axis, int64_t first) {
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i)
      if (first - axis.pad_begin + i >= 0 && first - axis.pad_begin + i < axis.in) bits |= 1U << i;
    return bits;
  }

  // The patches of a block become points.
  void transform(const KernelArgs& args, int64_t block, uint16_t* points) const {
    const int64_t height = p_.rows.in, width = p_.columns.in;
    vec::WinogradPatch patch{.picture = reinterpret_cast<const uint16_t*>(args.inputs[0].data),
                             .pitch = pitch_of(p_.layout, p_.in, height, width),
                             .blocks = p_.in / kWinogradBlock,
                             .to = points,
                             .point = point_};
    for (int64_t i = first_patch(block); i < first_patch(block + 1); ++i, patch.to += row_) {
      const Place at = place_of(i);
      patch.first = at.image * p_.in * height * width + (at.row - p_.rows.pad_begin) * patch.pitch.row +
                    (at.column - p_.columns.pad_begin) * patch.pitch.pixel;
      const unsigned rows = inside(p_.rows, at.row), columns = inside(p_.columns, at.column);
      patch.inside = 0;
      for (int r = 0; r < 4; ++r)
        if ((rows >> r & 1) != 0) patch.inside |= columns << (4 * r);
      loops_.patch(patch);
    }
  }

  // A block's results in the channels of one panel.
  void multiply(const KernelArgs& args, int64_t block, int64_t panel, const uint16_t* points, float* sums) const {
    const int64_t first = first_patch(block), count = first_patch(block + 1) - first;
    const auto* weights = reinterpret_cast<const uint16_t*>(weights_->data());
    for (int64_t k = 0; k < kWinogradPoints; ++k)
      loops_.product({.rows = count,
                      .depth = p_.in,
                      .a = points + k * point_,
                      .a_row = row_,
                      .panel = weights + (panel * kWinogradPoints + k) * p_.in * kWinogradColumns,
                      .out = sums + k * sums_point_});
    const int64_t channel = panel * kWinogradColumns, channels = std::min(kWinogradColumns, p_.out - channel);
    alignas(64) float bias[kWinogradColumns] = {};
    if (p_.biased) std::copy_n(reinterpret_cast<const float*>(args.inputs[2].data) + channel, channels, bias);
    const int64_t height = p_.rows.out, width = p_.columns.out;
    vec::WinogradResult result{.sums = sums,
                               .point = sums_point_,
                               .bias = bias,
                               .pitch = pitch_of(p_.layout, p_.out, height, width),
                               .blocks = static_cast<int>(channels / kWinogradBlock),
                               .least = p_.least,
                               .most = p_.most};
    for (int64_t i = first; i < first + count; ++i, result.sums += kWinogradColumns) {
      const Place at = place_of(i);
      const int64_t element = at.image * p_.out * height * width + channel / kWinogradBlock * result.pitch.block +
                              at.row * result.pitch.row + at.column * result.pitch.pixel;
      result.to = reinterpret_cast<uint16_t*>(args.outputs[0].data) + element;
      if (p_.addend >= 0)
        result.addend = reinterpret_cast<const uint16_t*>(args.inputs[static_cast<size_t>(p_.addend)].data) + element;
      result.rows = static_cast<int>(std::min<int64_t>(2, height - at.row));
      result.columns = static_cast<int>(std::min<int64_t>(2, width - at.column));
      loops_.result(result);
    }
  }

  const Problem p_;
  const vec::WinogradLoops& loops_;
  const WeightCache::Packed weights_;
  int64_t blocks_ = 1;  // of patches, whose points are made together
  int64_t groups_ = 1;  // of panels, which as many cores go through with the same patches
  int parts_ = 1;
  int64_t row_ = 0, point_ = 0;  // pitches of points, from patch to patch and from point to point
  int64_t sums_point_ = 0;
};

}  // namespace

Result<KernelPtr> plan_winograd(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  const vec::WinogradLoops* loops = vec::winograd_loops();
  if (loops == nullptr) return unsupported("a CPU without AVX512_BF16");
  return KernelPtr(std::make_unique<WinogradConvolution>(request, problem, *loops));
}

}  // namespace motet::ops
