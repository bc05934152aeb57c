// Pictures in a blocked layout times one number a channel, as squeeze-and-excitation ends: oneDNN multiplies these
// row-major only, and bringing a picture there and back takes several times as long as the product.
#include <algorithm>
#include <array>

#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// A channel block's factors, repeated so that one call of the inner loop takes many pixels.
constexpr int64_t kTile = 1024;

struct ScaleChannels {
  size_t picture = 0, factors = 1;  // inputs
  int64_t batch = 0, blocks = 0;    // of the picture
  int64_t pixels = 0, block = 0;    // of a picture's plane; channels side by side
  bool shared = false;              // the same factors for every picture

  void operator()(const KernelArgs& args, device::Team& team) const {
    const int64_t length = pixels * block;
    team.for_range(batch * blocks, (kGrain + length - 1) / length, [&](int64_t begin, int64_t end) {
      std::array<float, kTile> tile;
      const int64_t filled = std::min(kTile / block * block, length);
      for (int64_t unit = begin; unit < end; ++unit) {
        const float* factor = input_data<float>(args, factors) + (shared ? unit % blocks : unit) * block;
        for (int64_t i = 0; i < filled; i += block) std::copy_n(factor, block, tile.data() + i);
        const float* x = input_data<float>(args, picture) + unit * length;
        float* y = output_data<float>(args, 0) + unit * length;
        for (int64_t at = 0; at < length; at += filled)
          vec::loops().binary(vec::Binary::kMul, x + at, 1, tile.data(), 1, y + at, std::min(filled, length - at));
      }
    });
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
  s.block = layout == Layout::kNChw16c ? 16 : layout == Layout::kNChw8c ? 8 : 0;
  if (s.block == 0) return unsupported("a layout that oneDNN multiplies in as well");
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
