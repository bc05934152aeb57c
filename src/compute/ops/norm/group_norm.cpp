// GroupNormalization (Wu and He, 2018) of pictures as convolutions leave them: [N, H, W, C] or blocks of channels.
// Three passes, so that a mean far from zero costs no digits: sums, squared deviations from the mean, the result.
#include <algorithm>
#include <cmath>
#include <vector>

#include "compute/ops/norm/norm.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

using vec::Binary;

// Lanes that one call of an inner loop should have at least.
constexpr int64_t kLeastLanes = 128;
constexpr int64_t kPixelsPerSegment = 128;
constexpr int64_t kMostSegments = 8;

// The picture as [images][blocks][pixels][lanes]: one block of C lanes, or C / 16 of 16. A block's pixels are cut into
// segments; (image, block, segment) is a unit of work. Neighbouring pixels are taken together as a row of lanes.
struct Picture {
  int64_t images = 0, blocks = 1, pixels = 0, lanes = 0;
  int64_t segments = 1, together = 1;
  int64_t each = 0;  // channels of a group
  float epsilon = 0;

  int64_t units() const { return images * blocks * segments; }
  int64_t row() const { return lanes * together; }
  int64_t first_pixel(int64_t segment) const { return pixels * segment / segments; }
};

// Per unit: sums, squared deviations, and what this unit works with.
struct Scratch {
  float *sums, *deviations, *factors, *addends;
};

Scratch scratch_of(const Picture& p, std::byte* memory) {
  auto* floats = reinterpret_cast<float*>(memory);
  const int64_t lanes = p.units() * p.lanes, rows = p.units() * p.row();
  return {floats, floats + lanes, floats + 2 * lanes, floats + 2 * lanes + rows};
}
size_t scratch_bytes(const Picture& p) {
  return static_cast<size_t>(p.units() * 2 * (p.lanes + p.row())) * sizeof(float);
}

// The sum over a channel's group of what the units of `image` left per lane.
double total_of_group(const Picture& p, const float* left, int64_t image, int64_t channel) {
  const int64_t first = channel / p.each * p.each;
  double total = 0;
  for (int64_t c = first; c < first + p.each; ++c)
    for (int64_t s = 0; s < p.segments; ++s)
      total += static_cast<double>(left[((image * p.blocks + c / p.lanes) * p.segments + s) * p.lanes + c % p.lanes]);
  return total / static_cast<double>(p.each * p.pixels);
}

// value(channel's group) for each lane of the block, computed once a group, `together` times.
template <class F>
void spread(const Picture& p, int64_t block, float* row, F value) {
  float current = 0;
  for (int64_t lane = 0; lane < p.lanes; ++lane) {
    const int64_t channel = block * p.lanes + lane;
    if (lane == 0 || channel % p.each == 0) current = value(channel);
    row[lane] = current;
  }
  for (int64_t i = p.lanes; i < p.row(); ++i) row[i] = row[i - p.lanes];
}

// f(row of the unit, its length) over all rows; the last one may be shorter.
template <class F>
void each_row(const Picture& p, int64_t unit, F f) {
  const int64_t segment = unit % p.segments, begin = p.first_pixel(segment), end = p.first_pixel(segment + 1);
  const int64_t base = unit / p.segments * p.pixels;
  for (int64_t pixel = begin; pixel < end; pixel += p.together)
    f((base + pixel) * p.lanes, std::min(p.together, end - pixel) * p.lanes);
}

// Adds up a row's pixels lane by lane.
void fold(const Picture& p, const float* row, float* lanes) {
  std::copy(row, row + p.lanes, lanes);
  for (int64_t i = p.lanes; i < p.row(); i += p.lanes)
    for (int64_t lane = 0; lane < p.lanes; ++lane) lanes[lane] += row[i + lane];
}

void add_up(const Picture& p, const Scratch& s, int64_t unit, const float* x) {
  float* row = s.factors + unit * p.row();
  std::fill(row, row + p.row(), 0.0F);
  each_row(p, unit, [&](int64_t at, int64_t n) { vec::loops().binary(Binary::kAdd, row, 1, x + at, 1, row, n); });
  fold(p, row, s.sums + unit * p.lanes);
}

void add_up_deviations(const Picture& p, const Scratch& s, int64_t unit, const float* x) {
  const int64_t image = unit / p.segments / p.blocks, block = unit / p.segments % p.blocks;
  float *mean = s.addends + unit * p.row(), *row = s.factors + unit * p.row();
  spread(p, block, mean, [&](int64_t c) { return static_cast<float>(total_of_group(p, s.sums, image, c)); });
  std::fill(row, row + p.row(), 0.0F);
  std::vector<float> apart(static_cast<size_t>(p.row()));
  each_row(p, unit, [&](int64_t at, int64_t n) {
    vec::loops().binary(Binary::kSub, x + at, 1, mean, 1, apart.data(), n);
    vec::loops().binary(Binary::kMul, apart.data(), 1, apart.data(), 1, apart.data(), n);
    vec::loops().binary(Binary::kAdd, row, 1, apart.data(), 1, row, n);
  });
  fold(p, row, s.deviations + unit * p.lanes);
}

void normalise(const Picture& p, const Scratch& s, int64_t unit, const KernelArgs& args,
               std::span<const graph::PostOp> post_ops) {
  const int64_t image = unit / p.segments / p.blocks, block = unit / p.segments % p.blocks;
  const float *scale = input_data<float>(args, 1), *bias = input_data<float>(args, 2);
  const float* x = input_data<float>(args, 0);
  float* y = output_data<float>(args, 0);
  float *factor = s.factors + unit * p.row(), *addend = s.addends + unit * p.row();
  spread(p, block, factor, [&](int64_t c) {
    const double variance = total_of_group(p, s.deviations, image, c);
    return static_cast<float>(1 / std::sqrt(variance + static_cast<double>(p.epsilon)));
  });
  spread(p, block, addend, [&](int64_t c) { return static_cast<float>(total_of_group(p, s.sums, image, c)); });
  // (x - mean) * factor * scale + bias as one multiplication and one addition.
  for (int64_t i = 0; i < p.row(); ++i) {
    const int64_t c = block * p.lanes + i % p.lanes;
    factor[i] *= scale[c];
    addend[i] = bias[c] - addend[i] * factor[i];
  }
  each_row(p, unit, [&](int64_t at, int64_t n) {
    vec::loops().binary(Binary::kMul, x + at, 1, factor, 1, y + at, n);
    vec::loops().binary(Binary::kAdd, y + at, 1, addend, 1, y + at, n);
    apply_post_ops(post_ops, args, y + at, at, n);
  });
}

Result<Picture> picture_of(const NodeRequest& request) {
  const TensorSpec& in = request.inputs[0];
  const int64_t groups = request.node.int_or("num_groups", 0);
  const int64_t block = in.layout == Layout::kNChw8c ? 8 : in.layout == Layout::kNChw16c ? 16 : in.shape[1];
  if (in.layout == Layout::kRowMajor) return unsupported("row-major; channels side by side are needed");
  if (elements(in.shape) == 0 || groups < 1 || in.shape[1] % groups != 0 || in.shape[1] % block != 0)
    return unsupported(std::to_string(groups) + " groups of " + describe(in));
  Picture p{.images = in.shape[0],
            .blocks = in.shape[1] / block,
            .pixels = in.shape[2] * in.shape[3],
            .lanes = block,
            .each = in.shape[1] / groups,
            .epsilon = request.node.float_or("epsilon", 1e-5F)};
  p.segments = std::clamp<int64_t>(p.pixels / kPixelsPerSegment, 1, kMostSegments);
  p.together = std::clamp<int64_t>(kLeastLanes / p.lanes, 1, p.pixels / p.segments);
  return p;
}

}  // namespace

Result<KernelPtr> plan_group_norm_of_pixels(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32}));
  const TensorSpec& in = request.inputs[0];
  if (in.shape.size() != 4) return unsupported("of " + describe(in));
  if (request.node.opset < 21) return unsupported("scale and bias per group");
  for (const graph::PostOp& op : request.node.post_ops)
    if (op.kind == graph::PostOp::Kind::kAdd) return unsupported("a fused addition");
  for (size_t i : {1, 2})
    if (request.inputs[i].dtype != DType::kF32 || request.inputs[i].shape != Shape{in.shape[1]})
      return unsupported(describe(request.inputs[i]) + " for " + std::to_string(in.shape[1]) + " channels");
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  MOTET_ASSIGN(Picture p, picture_of(request));
  KernelTraits traits{.implementation = "own",
                      .scratch_bytes = scratch_bytes(p),
                      .in_place_of = 0,
                      .flops = 8.0 * static_cast<double>(elements(in.shape)),
                      .input_layouts = {in.layout},
                      .output_layout = in.layout};
  return make_kernel(
      [p, post_ops = request.node.post_ops](const KernelArgs& args, device::Team& team) {
        const Scratch s = scratch_of(p, args.scratch);
        const float* x = input_data<float>(args, 0);
        auto each_unit = [&](auto work) {
          team.for_range(p.units(), 1, [&](int64_t begin, int64_t end) {
            for (int64_t unit = begin; unit < end; ++unit) work(unit);
          });
        };
        each_unit([&](int64_t unit) { add_up(p, s, unit, x); });
        each_unit([&](int64_t unit) { add_up_deviations(p, s, unit, x); });
        each_unit([&](int64_t unit) { normalise(p, s, unit, args, post_ops); });
      },
      traits);
}

}  // namespace motet::ops
