// Pictures whose channels lie side by side times one number a channel, as squeeze-and-excitation ends: oneDNN
// multiplies blocked ones row-major only, bringing them there and back, and others on one core a picture.
#include <algorithm>
#include <array>

#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// Factors of the channels that lie side by side, repeated so that one call of the inner loop takes many pixels.
constexpr int64_t kTile = 2048;

struct ScaleChannels {
  size_t picture = 0, factors = 1;  // inputs
  int64_t batch = 0, blocks = 0;    // of the picture
  int64_t pixels = 0, block = 0;    // of a picture's plane; channels side by side, at most kTile
  bool shared = false;              // the same factors for every picture

  // Cut by pixels, as the convolutions around are, so that a core finds in its cache what it has written.
  void operator()(const KernelArgs& args, device::Team& team) const {
    const int64_t each = blocks * block;
    team.for_range(batch * pixels, (kGrain + each - 1) / each, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t n = begin / pixels, first = begin % pixels, count = std::min(end - begin, pixels - first);
        for (int64_t b = 0; b < blocks; ++b)
          scale(args, (shared ? 0 : n * blocks) + b, ((n * blocks + b) * pixels + first) * block, count);
        begin += count;
      }
    });
  }

  // `count` pixels of a block from element `from` on, by the block's own factors.
  void scale(const KernelArgs& args, int64_t factor_block, int64_t from, int64_t count) const {
    const float* factor = input_data<float>(args, factors) + factor_block * block;
    const float* x = input_data<float>(args, picture) + from;
    float* y = output_data<float>(args, 0) + from;
    const int64_t length = count * block;
    std::array<float, kTile> tile;
    const int64_t filled = std::min(kTile / block * block, length);
    for (int64_t i = 0; i < filled; i += block) std::copy_n(factor, block, tile.data() + i);
    for (int64_t at = 0; at < length; at += filled)
      vec::loops().binary(vec::Binary::kMul, x + at, 1, tile.data(), 1, y + at, std::min(filled, length - at));
  }
};

}  // namespace

Result<KernelPtr> plan_scale_channels(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  for (size_t i = 0; i < 2; ++i) MOTET_RETURN_IF_ERROR(expect_type(request, i, {DType::kF32}));
  const Shape& out = request.outputs[0].shape;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kF32, out));
  if (out.size() != 4 || elements(out) == 0 || !request.node.post_ops.empty()) return unsupported("not a picture");
  ScaleChannels s;
  if (request.inputs[0].shape != out) std::swap(s.picture, s.factors);
  const Shape &picture = request.inputs[s.picture].shape, &factors = request.inputs[s.factors].shape;
  const Layout layout = request.inputs[s.picture].layout;
  if (layout == Layout::kRowMajor) return unsupported("channels that do not lie side by side");
  s.block = layout == Layout::kNChw16c ? 16 : layout == Layout::kNChw8c ? 8 : out[1];
  if (s.block > kTile) return unsupported("more than " + std::to_string(kTile) + " channels side by side");
  if (picture != out || factors.size() != 4 || factors[1] != out[1] || factors[2] != 1 || factors[3] != 1 ||
      (factors[0] != out[0] && factors[0] != 1))
    return unsupported("anything but one factor a channel");
  s.batch = out[0];
  s.blocks = (out[1] + s.block - 1) / s.block;
  s.pixels = out[2] * out[3];
  s.shared = factors[0] == 1;
  return make_kernel(s, {.implementation = std::string("own channels:") + vec::loops().isa,
                         .in_place_of = static_cast<int>(s.picture),
                         .flops = static_cast<double>(elements(out)),
                         .input_layouts = {layout, layout},
                         .output_layout = layout});
}

}  // namespace motet::ops
