// GroupNormalization (Wu and He, 2018) of pictures as convolutions leave them: [N, H, W, C] or blocks of channels.
// Three passes, so that a mean far from zero costs no digits: sums, squared deviations from the mean, the result. bf16
// is widened a few rows at a time, and rounded once when the result is stored.
#include <algorithm>
#include <cmath>

#include "compute/ops/norm/norm.h"
#include "compute/ops/support/adapt.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// Lanes that one call of an inner loop should have at least.
constexpr int64_t kLeastLanes = 1024;
// And rows that a unit should have, to pay for preparing one.
constexpr int64_t kLeastRows = 6;
constexpr int64_t kPixelsPerSegment = 128;
constexpr int64_t kMostSegments = 8;
constexpr int64_t kGroupsPerPart = 16;
// Numbers of bf16 that are widened at once: whole rows.
constexpr int64_t kChunk = 4096;

// The picture as [images][blocks][pixels][lanes]: one block of C lanes, or C / 16 of 16. A block's pixels are cut into
// segments; (image, block, segment) is a unit of work. Neighbouring pixels are taken together as a row of lanes.
struct Picture {
  int64_t images = 0, blocks = 1, pixels = 0, lanes = 0;
  int64_t segments = 1, together = 1;
  int64_t groups = 1, each = 0;  // channels of a group
  float epsilon = 0;
  DType type = DType::kF32;

  int64_t units() const { return images * blocks * segments; }
  int64_t row() const { return lanes * together; }
  int64_t first_pixel(int64_t segment) const { return pixels * segment / segments; }
};

// Per unit: sums, squared deviations, and what this unit works with. Per image and group: mean, 1 / deviation.
struct Scratch {
  float *sums, *deviations, *factors, *addends, *means, *inverses;
};

Scratch scratch_of(const Picture& p, std::byte* memory) {
  auto* floats = reinterpret_cast<float*>(memory);
  const int64_t lanes = p.units() * p.lanes, rows = p.units() * p.row();
  float* last = floats + 2 * lanes + 2 * rows;
  return {floats, floats + lanes, floats + 2 * lanes, floats + 2 * lanes + rows, last, last + p.images * p.groups};
}
size_t scratch_bytes(const Picture& p) {
  return static_cast<size_t>(2 * (p.units() * (p.lanes + p.row()) + p.images * p.groups)) * sizeof(float);
}

// The mean over one group of what the units of `image` left per lane.
double mean_of_group(const Picture& p, const float* left, int64_t image, int64_t group) {
  double total = 0;
  for (int64_t c = group * p.each; c < (group + 1) * p.each; ++c) {
    const float* of_channel = left + (image * p.blocks + c / p.lanes) * p.segments * p.lanes + c % p.lanes;
    for (int64_t s = 0; s < p.segments; ++s) total += static_cast<double>(of_channel[s * p.lanes]);
  }
  return total / static_cast<double>(p.each * p.pixels);
}

// Each lane of the block gets its group's number.
void spread(const Picture& p, int64_t block, const float* of_groups, float* row) {
  int64_t group = block * p.lanes / p.each, left = (group + 1) * p.each - block * p.lanes;
  for (int64_t lane = 0; lane < p.lanes; ++lane) {
    if (left-- == 0) {
      ++group;
      left = p.each - 1;
    }
    row[lane] = of_groups[group];
  }
}

// The first pixel's lanes for all pixels of a row.
void repeat(const Picture& p, float* row) {
  for (int64_t i = p.lanes; i < p.row(); i += p.lanes) std::copy(row, row + p.lanes, row + i);
}

// The unit's numbers: where they begin, and how many there are. Its rows are p.row() long; the last one may be shorter.
struct Range {
  int64_t first, count;
};
Range range_of(const Picture& p, int64_t unit) {
  const int64_t segment = unit % p.segments, begin = p.first_pixel(segment), end = p.first_pixel(segment + 1);
  return {(unit / p.segments * p.pixels + begin) * p.lanes, (end - begin) * p.lanes};
}

// f(numbers as f32, how many) over the range, whole rows at a time.
template <class F>
void for_rows(const Picture& p, const std::byte* data, const Range& range, F&& f) {
  if (p.type == DType::kF32) return f(reinterpret_cast<const float*>(data) + range.first, range.count);
  alignas(64) float chunk[kChunk];
  const int64_t step = kChunk / p.row() * p.row();
  for (int64_t at = 0; at < range.count; at += step) {
    const int64_t count = std::min(step, range.count - at);
    vec::loops().widen(reinterpret_cast<const uint16_t*>(data) + range.first + at, chunk, count);
    f(chunk, count);
  }
}

// Adds up a row's pixels lane by lane.
void fold(const Picture& p, const float* row, float* lanes) {
  std::copy(row, row + p.lanes, lanes);
  for (int64_t i = p.lanes; i < p.row(); i += p.lanes)
    for (int64_t lane = 0; lane < p.lanes; ++lane) lanes[lane] += row[i + lane];
}

void add_up(const Picture& p, const Scratch& s, int64_t unit, const std::byte* data) {
  float* row = s.factors + unit * p.row();
  std::fill(row, row + p.row(), 0.0F);
  for_rows(p, data, range_of(p, unit),
           [&](const float* x, int64_t count) { vec::loops().add_rows(x, count, p.row(), row); });
  fold(p, row, s.sums + unit * p.lanes);
}

void add_up_deviations(const Picture& p, const Scratch& s, int64_t unit, const std::byte* data) {
  const int64_t image = unit / p.segments / p.blocks, block = unit / p.segments % p.blocks;
  float *mean = s.addends + unit * p.row(), *row = s.factors + unit * p.row();
  spread(p, block, s.means + image * p.groups, mean);
  repeat(p, mean);
  std::fill(row, row + p.row(), 0.0F);
  for_rows(p, data, range_of(p, unit),
           [&](const float* x, int64_t count) { vec::loops().add_squared_rows(x, mean, count, p.row(), row); });
  fold(p, row, s.deviations + unit * p.lanes);
}

void normalise(const Picture& p, const Scratch& s, int64_t unit, const KernelArgs& args,
               std::span<const graph::PostOp> post_ops) {
  const int64_t image = unit / p.segments / p.blocks, block = unit / p.segments % p.blocks;
  const float *scale = input_data<float>(args, 1), *bias = input_data<float>(args, 2);
  float *factor = s.factors + unit * p.row(), *addend = s.addends + unit * p.row();
  spread(p, block, s.inverses + image * p.groups, factor);
  spread(p, block, s.means + image * p.groups, addend);
  // (x - mean) * factor * scale + bias as one multiplication and one addition.
  for (int64_t lane = 0; lane < p.lanes; ++lane) {
    factor[lane] *= scale[block * p.lanes + lane];
    addend[lane] = bias[block * p.lanes + lane] - addend[lane] * factor[lane];
  }
  repeat(p, factor);
  repeat(p, addend);
  int64_t at = range_of(p, unit).first;
  alignas(64) float chunk[kChunk];
  for_rows(p, args.inputs[0].data, range_of(p, unit), [&](const float* x, int64_t count) {
    float* y = p.type == DType::kF32 ? output_data<float>(args, 0) + at : chunk;
    vec::loops().scale_rows(x, factor, addend, count, p.row(), y);
    apply_post_ops(post_ops, args, y, at, count);
    if (p.type == DType::kBF16) vec::loops().narrow(y, output_data<uint16_t>(args, 0) + at, count);
    at += count;
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
            .groups = groups,
            .each = in.shape[1] / groups,
            .epsilon = request.node.float_or("epsilon", 1e-5F),
            .type = in.dtype};
  p.segments = std::clamp<int64_t>(p.pixels / kPixelsPerSegment, 1, kMostSegments);
  const int64_t most = std::max<int64_t>(1, p.pixels / p.segments / kLeastRows);
  p.together = std::clamp<int64_t>(kLeastLanes / p.lanes, 1, most);
  if (p.type == DType::kBF16 && p.row() > kChunk) return unsupported("more than 4096 channels of bf16 side by side");
  return p;
}

}  // namespace

Result<KernelPtr> plan_group_norm_of_pixels(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kBF16}));
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
        const std::byte* x = args.inputs[0].data;
        auto each_unit = [&](auto work) {
          team.for_range(p.units(), 1, [&](int64_t begin, int64_t end) {
            for (int64_t unit = begin; unit < end; ++unit) work(unit);
          });
        };
        auto each_group = [&](auto work) {
          team.for_range(p.images * p.groups, kGroupsPerPart, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) work(i, i / p.groups, i % p.groups);
          });
        };
        each_unit([&](int64_t unit) { add_up(p, s, unit, x); });
        each_group([&](int64_t i, int64_t image, int64_t group) {
          s.means[i] = static_cast<float>(mean_of_group(p, s.sums, image, group));
        });
        each_unit([&](int64_t unit) { add_up_deviations(p, s, unit, x); });
        each_group([&](int64_t i, int64_t image, int64_t group) {
          const double variance = mean_of_group(p, s.deviations, image, group);
          s.inverses[i] = static_cast<float>(1 / std::sqrt(variance + static_cast<double>(p.epsilon)));
        });
        each_unit([&](int64_t unit) { normalise(p, s, unit, args, post_ops); });
      },
      traits);
}

}  // namespace motet::ops
