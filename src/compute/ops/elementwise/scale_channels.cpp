// Pictures whose channels lie side by side times one number a channel, as squeeze-and-excitation ends: oneDNN
// multiplies blocked ones row-major only, bringing them there and back, and others on one core a picture.
#include <algorithm>

#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

struct ScaleChannels {
  size_t picture = 0, factors = 1;  // inputs
  int64_t batch = 0, blocks = 0;    // of the picture
  int64_t pixels = 0, block = 0;    // of a picture's plane; channels side by side
  bool shared = false;              // the same factors for every picture

  // Cut by pixels, as the convolutions around are, so that a core finds in its cache what it has written.
  void operator()(const KernelArgs& args, device::Team& team) const {
    const int64_t each = blocks * block;
    team.for_range(batch * pixels, (kGrain + each - 1) / each, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t n = begin / pixels, first = begin % pixels, count = std::min(end - begin, pixels - first);
        for (int64_t b = 0; b < blocks; ++b) {
          const int64_t from = ((n * blocks + b) * pixels + first) * block;
          vec::loops().scale_pixels(input_data<float>(args, picture) + from,
                                    input_data<float>(args, factors) + ((shared ? 0 : n * blocks) + b) * block, count,
                                    block, output_data<float>(args, 0) + from);
        }
        begin += count;
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
  if (layout == Layout::kRowMajor) return unsupported("channels that do not lie side by side");
  s.block = layout == Layout::kNChw16c ? 16 : layout == Layout::kNChw8c ? 8 : out[1];
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
