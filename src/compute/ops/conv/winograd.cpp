#include "compute/ops/conv/winograd.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "compute/graph/file_map.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/window.h"
#include "compute/ops/vector/loops.h"
#include "compute/ops/vector/winograd.h"

namespace motet::ops {
namespace {

using vec::kWinogradBlock;
using vec::kWinogradColumns;
using vec::kWinogradMostPoints;
using vec::kWinogradRows;
using vec::PicturePitch;

// Points of the patches of a block, about: they stay in the second-level cache while panel after panel passes.
constexpr int64_t kPointBytes = int64_t{384} << 10;
constexpr int64_t kMostPatches = 48;
constexpr int64_t kMostChannels = 1024;  // so that a few patches' points fit
// In f32, input times output channels. With more, the fewest patches of 4x4 that a product is fast for take about a
// millisecond with all weights, and fewer of them, or some of the weights, lose: those are left to oneDNN.
constexpr int64_t kMostWeights = int64_t{512} * 256;
// Keeps points, and rows of one, from falling into the same few sets of a cache.
constexpr int64_t kSkew = 32;

struct Problem {
  int64_t batch = 0, in = 0, out = 0;  // channels
  WindowAxis rows, columns;
  Layout layout = Layout::kNhwc;
  DType type = DType::kBF16;                  // of pictures and points
  const vec::WinogradLoops* loops = nullptr;  // by the patches that suit it
  bool biased = false;
  int addend = -1;  // input
  float least = -std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::infinity();
  std::vector<graph::PostOp> activations;  // after that

  int64_t patch_rows() const { return (rows.out + loops->tile - 1) / loops->tile; }
  int64_t patch_columns() const { return (columns.out + loops->tile - 1) / loops->tile; }
  int64_t patches() const { return batch * patch_rows() * patch_columns(); }
  int64_t panels() const { return (out + kWinogradColumns - 1) / kWinogradColumns; }
  int64_t points() const { return loops->points(); }
  int64_t point_bytes() const { return static_cast<int64_t>(dtype_bytes(type)); }
};

PicturePitch pitch_of(Layout layout, int64_t channels, int64_t height, int64_t width) {
  if (layout == Layout::kNhwc) return {width * channels, channels, kWinogradBlock};
  return {width * kWinogradBlock, kWinogradBlock, height * width * kWinogradBlock};
}

Status read_post_ops(const NodeRequest& request, Problem& p) {
  using Kind = graph::PostOp::Kind;
  std::span<const graph::PostOp> ops = request.node.post_ops;
  if (!ops.empty() && ops[0].kind == Kind::kAdd) {
    if (ops[0].input < 0 || !has_input(request, static_cast<size_t>(ops[0].input)))
      return unsupported("a fused addition of an absent input");
    const TensorSpec& other = request.inputs[static_cast<size_t>(ops[0].input)];
    if (other.shape != request.outputs[0].shape || other.dtype != p.type)
      return unsupported("a fused addition of " + describe(other));
    p.addend = ops[0].input;
    ops = ops.subspan(1);
  }
  if (!ops.empty() && (ops[0].kind == Kind::kRelu || ops[0].kind == Kind::kClip)) {
    const bool relu = ops[0].kind == Kind::kRelu;
    p.least = relu ? 0 : ops[0].alpha;
    if (!relu) p.most = ops[0].beta;
    ops = ops.subspan(1);
  }
  if (!ops.empty() && p.type != DType::kF32)
    return unsupported("fused ops other than an addition, Relu and Clip on " + describe(request.outputs[0]));
  for (const graph::PostOp& op : ops)
    if (op.kind == Kind::kAdd) return unsupported("a fused addition after an activation");
  p.activations.assign(ops.begin(), ops.end());
  return {};
}

// Large patches have fewer multiplications a result, and more weights to read, which few patches cannot hide.
const vec::WinogradLoops* loops_for(const Problem& p) {
  if (p.type != DType::kF32) return vec::bf16_winograd_loops();
  constexpr int64_t kHiding = 16;  // patches whose multiplications take as long as reading their weights, about
  // With many channels those of 4x4 are oneDNN's, which takes as long as if there were some 30 more of them.
  const int64_t more = p.in * p.out > kMostWeights ? 32 : 0;
  auto cost = [&](int64_t tile, int64_t extra) {
    const int64_t patches = p.batch * ((p.rows.out + tile - 1) / tile) * ((p.columns.out + tile - 1) / tile);
    return (tile + 2) * (tile + 2) * std::max(patches + extra, kHiding);
  };
  return vec::f32_winograd_loops(cost(2, 0) < cost(4, more) ? 2 : 4);
}

Result<Problem> read_problem(const NodeRequest& request) {
  if (!request.winograd) return unsupported("not asked for");
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, request.inputs.size()));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kF32}));
  const TensorSpec &x = request.inputs[0], &w = request.inputs[1], &y = request.outputs[0];
  if (constant_input(request, 1) == nullptr) return unsupported("weights that are not constant");
  if (x.shape.size() != 4 || y.shape.size() != 4 || elements(y.shape) == 0) return unsupported("of " + describe(x));
  Problem p{.batch = x.shape[0], .in = x.shape[1], .out = y.shape[1], .layout = request.preferred, .type = x.dtype};
  if (request.node.int_or("group", 1) != 1 || w.shape != Shape{p.out, p.in, 3, 3})
    return unsupported("weights " + describe(w) + "; 3x3 of one group are needed");
  if (p.in % kWinogradBlock != 0 || p.out % kWinogradBlock != 0 || p.in > kMostChannels)
    return unsupported("channels that do not come in sixteens, or more than 1024");
  if (p.layout != Layout::kNhwc && p.layout != Layout::kNChw16c) return unsupported("another layout");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, p.type, {p.batch, p.out, y.shape[2], y.shape[3]}));
  MOTET_ASSIGN(const Window window, window_of(request, {3, 3}));
  p.rows = window.axes[1];
  p.columns = window.axes[2];
  for (const WindowAxis& axis : {p.rows, p.columns})
    if (axis.stride != 1 || axis.dilation != 1) return unsupported("a stride or dilation other than 1");
  p.loops = loops_for(p);
  if (p.loops == nullptr) return unsupported("a CPU without AVX-512, for bf16 with AVX512_BF16");
  if (p.type == DType::kF32 && p.loops->tile == 4 && p.in * p.out > kMostWeights)
    return unsupported("patches of 4x4 with more than 512 by 256 channels");
  const bool residual = std::any_of(request.node.post_ops.begin(), request.node.post_ops.end(),
                                    [](const graph::PostOp& op) { return op.input == 2; });
  p.biased = has_input(request, 2) && !residual;
  if (p.biased && (request.inputs[2].dtype != DType::kF32 || request.inputs[2].shape != Shape{p.out}))
    return unsupported("a bias of " + describe(request.inputs[2]));
  MOTET_RETURN_IF_ERROR(read_post_ops(request, p));
  return p;
}

// G g G^T, [size, size].
void points_of_weights(const vec::WinogradLoops& loops, const float (&g)[9], float* points) {
  const int size = loops.size();
  for (int r = 0; r < size; ++r) {
    double row[3];  // of G g
    for (int c = 0; c < 3; ++c) {
      row[c] = 0;
      for (int i = 0; i < 3; ++i) row[c] += double{loops.weights[r][i]} * g[3 * i + c];
    }
    for (int c = 0; c < size; ++c) {
      double sum = 0;
      for (int i = 0; i < 3; ++i) sum += row[i] * loops.weights[c][i];
      points[r * size + c] = static_cast<float>(sum);
    }
  }
}

// [panel, point, in / pairs, kWinogradColumns, pairs]; columns beyond the last are zero.
template <class Element>
void pack_points(const Problem& p, const std::byte* weights, Element* to) {
  const int64_t points = p.points(), pairs = p.loops->pairs;
  std::fill_n(to, p.panels() * points * p.in * kWinogradColumns, Element{0});
  for (int64_t o = 0; o < p.out; ++o) {
    for (int64_t i = 0; i < p.in; ++i) {
      float g[9], exact[kWinogradMostPoints];
      // The file may hold it at any alignment.
      std::memcpy(g, weights + (o * p.in + i) * static_cast<int64_t>(sizeof g), sizeof g);
      points_of_weights(*p.loops, g, exact);
      const int64_t column = o % kWinogradColumns;
      for (int64_t k = 0; k < points; ++k) {
        Element& point = to[((o / kWinogradColumns * points + k) * p.in + i / pairs * pairs) * kWinogradColumns +
                            pairs * column + i % pairs];
        if constexpr (std::is_same_v<Element, float>)
          point = exact[k];
        else
          point = float_to_bf16(exact[k]);
      }
    }
  }
}

WeightCache::Packed packed_points(const NodeRequest& request, const Problem& p) {
  const Tensor& constant = *constant_input(request, 1);
  auto fill = [constant, p](std::byte* memory) {
    const Reading reading = constant.read();
    if (p.type == DType::kF32)
      pack_points(p, reading.data, reinterpret_cast<float*>(memory));
    else
      pack_points(p, reading.data, reinterpret_cast<uint16_t*>(memory));
    graph::FileMap::release({reading.data, constant.bytes()});
  };
  const auto bytes = static_cast<size_t>(p.panels() * p.points() * p.in * kWinogradColumns * p.point_bytes());
  if (request.weights == nullptr) return std::make_shared<const PackedWeights>(bytes, std::move(fill));
  const std::string tile = std::to_string(p.loops->tile);
  const std::string form =
      "winograd " + tile + "x" + tile + " in panels of 32" + (p.type == DType::kF32 ? "" : ", bf16");
  return request.weights->get_or_pack(constant, form, bytes, std::move(fill));
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
  WinogradConvolution(const NodeRequest& request, const Problem& problem)
      : p_(problem), weights_(packed_points(request, problem)) {
    divide(std::max(1, request.max_width), std::max(1, request.cores));
    const int64_t each = (p_.patches() + blocks_ - 1) / blocks_;
    row_ = p_.in + kSkew;
    point_ = each * row_ + kSkew;
    sums_point_ = each * kWinogradColumns + kWinogradBlock;
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    const int64_t count = units();
    auto part = [&](int i, int n) {
      const int64_t point_bytes = (p_.points() * point_ * p_.point_bytes() + 63) / 64 * 64;
      std::byte* points = room(static_cast<size_t>(point_bytes + p_.points() * sums_point_ * 4));
      auto* sums = reinterpret_cast<float*>(points + point_bytes);
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
  std::string implementation() const override {
    const std::string tile = std::to_string(p_.loops->tile);
    return "own winograd " + tile + "x" + tile + (p_.type == DType::kF32 ? "" : " bf16");
  }
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
  // Blocks for the parts, a multiple of the cores. Parts that share a block make its points again, and so are taken
  // only where there are fewer blocks than cores.
  void divide(int64_t parts, int64_t cores) {
    const int64_t patches = p_.patches(), bytes = p_.points() * p_.in * p_.point_bytes();
    const int64_t most = std::clamp<int64_t>(kPointBytes / bytes, kWinogradRows, kMostPatches);
    // A few patches more than that lose less than reading all weights again.
    blocks_ = patches * 2 < most * 3 ? 1 : (patches + most - 1) / most;
    if (blocks_ >= cores) blocks_ = std::min(patches, (blocks_ + cores - 1) / cores * cores);
    groups_ = std::min(p_.panels(), (cores + blocks_ - 1) / blocks_);
    parts_ = static_cast<int>(std::min(parts, units()));
  }
  int64_t first_patch(int64_t block) const { return p_.patches() * block / blocks_; }
  Place place_of(int64_t patch) const {
    const int64_t in_row = patch / p_.patch_columns(), tile = p_.loops->tile;
    return {in_row / p_.patch_rows(), in_row % p_.patch_rows() * tile, patch % p_.patch_columns() * tile};
  }

  // Bits of the patch's pixels along an axis that lie in the picture.
  unsigned inside(const WindowAxis& axis, int64_t first) const {
    unsigned bits = 0;
    for (int i = 0; i < p_.loops->size(); ++i)
      if (first - axis.pad_begin + i >= 0 && first - axis.pad_begin + i < axis.in) bits |= 1U << i;
    return bits;
  }

  // The patches of a block become points.
  void transform(const KernelArgs& args, int64_t block, std::byte* points) const {
    struct Corner {
      int64_t first;
      unsigned rows, columns;
    };
    const int64_t height = p_.rows.in, width = p_.columns.in, begin = first_patch(block);
    const auto count = static_cast<size_t>(first_patch(block + 1) - begin);
    vec::WinogradPatch patch{
        .picture = args.inputs[0].data, .pitch = pitch_of(p_.layout, p_.in, height, width), .point = point_};
    std::array<Corner, kMostPatches * 3 / 2> corners;
    for (size_t i = 0; i < count; ++i) {
      const Place at = place_of(begin + static_cast<int64_t>(i));
      corners[i] = {at.image * p_.in * height * width + (at.row - p_.rows.pad_begin) * patch.pitch.row +
                        (at.column - p_.columns.pad_begin) * patch.pitch.pixel,
                    inside(p_.rows, at.row), inside(p_.columns, at.column)};
    }
    // In the order in which memory lies.
    patch.blocks = p_.layout == Layout::kNhwc ? p_.in / kWinogradBlock : 1;
    for (int64_t channel = 0; channel < p_.in; channel += patch.blocks * kWinogradBlock) {
      for (size_t i = 0; i < count; ++i) {
        patch.first = corners[i].first + channel / kWinogradBlock * patch.pitch.block;
        patch.rows = corners[i].rows;
        patch.columns = corners[i].columns;
        patch.to = points + (static_cast<int64_t>(i) * row_ + channel) * p_.point_bytes();
        p_.loops->patch(patch);
      }
    }
  }

  // A block's results in the channels of one panel.
  void multiply(const KernelArgs& args, int64_t block, int64_t panel, const std::byte* points, float* sums) const {
    const int64_t first = first_patch(block), count = first_patch(block + 1) - first;
    const int64_t bytes = p_.point_bytes();
    for (int64_t k = 0; k < p_.points(); ++k)
      p_.loops->product({.rows = count,
                         .depth = p_.in,
                         .a = points + k * point_ * bytes,
                         .a_row = row_,
                         .panel = weights_->data() + (panel * p_.points() + k) * p_.in * kWinogradColumns * bytes,
                         .out = sums + k * sums_point_});
    const int64_t channel = panel * kWinogradColumns, channels = std::min(kWinogradColumns, p_.out - channel);
    alignas(64) float bias[kWinogradColumns] = {};
    if (p_.biased) std::copy_n(reinterpret_cast<const float*>(args.inputs[2].data) + channel, channels, bias);
    const int64_t height = p_.rows.out, width = p_.columns.out, tile = p_.loops->tile;
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
      result.to = args.outputs[0].data + element * bytes;
      if (p_.addend >= 0) result.addend = args.inputs[static_cast<size_t>(p_.addend)].data + element * bytes;
      result.rows = static_cast<int>(std::min(tile, height - at.row));
      result.columns = static_cast<int>(std::min(tile, width - at.column));
      p_.loops->result(result);
      if (!p_.activations.empty()) activate(args, result);
    }
  }

  void activate(const KernelArgs& args, const vec::WinogradResult& result) const {
    auto apply = [&](int64_t element, int64_t n) {
      apply_post_ops(p_.activations, args, static_cast<float*>(result.to) + element, 0, n);
    };
    // Neighbours in memory are the pixels of a row or, of a pixel, the channels.
    const bool row = result.pitch.pixel == kWinogradBlock;
    for (int r = 0; r < result.rows; ++r) {
      const int64_t at = r * result.pitch.row;
      for (int b = 0; row && b < result.blocks; ++b)
        apply(at + b * result.pitch.block, result.columns * kWinogradBlock);
      for (int c = 0; !row && c < result.columns; ++c)
        apply(at + c * result.pitch.pixel, result.blocks * kWinogradBlock);
    }
  }

  const Problem p_;
  const WeightCache::Packed weights_;
  int64_t blocks_ = 1;  // of patches, whose points are made together
  int64_t groups_ = 1;  // of panels
  int parts_ = 1;
  int64_t row_ = 0, point_ = 0;  // pitches of points in elements, from patch to patch and from point to point
  int64_t sums_point_ = 0;
};

}  // namespace

Result<KernelPtr> plan_winograd(const NodeRequest& request) {
  MOTET_ASSIGN(const Problem problem, read_problem(request));
  return KernelPtr(std::make_unique<WinogradConvolution>(request, problem));
}

}  // namespace motet::ops
