// Copies between layouts of one tensor, zeroing the padding of blocked ones.
#include <cstring>

#include "compute/ops/elementwise/layout.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {
namespace {

int64_t block_of(Layout layout) { return layout == Layout::kNChw8c ? 8 : layout == Layout::kNChw16c ? 16 : 1; }

// Strides over (N, C / step, step, H, W), where the tensor's channels run in groups of `step`.
Shape strides_over(const TensorSpec& spec, int64_t step) {
  const int64_t c = spec.shape[1], h = spec.shape[2], w = spec.shape[3];
  const int64_t block = block_of(spec.layout);
  if (spec.layout == Layout::kNhwc) return {h * w * c, step, 1, w * c, c};
  if (spec.layout == Layout::kRowMajor) return {c * h * w, step * h * w, h * w, w, 1};
  const int64_t padded = (c + block - 1) / block * block;
  // A step is at most a block and divides it, or is the whole of all channels' blocks.
  return {padded * h * w, block * h * w, 1, w * block, block};
}

struct Piece {
  StridedCopy copy;
  int64_t from, to;  // bytes to skip
};

// Copies the channels of `groups` groups from group `first` on, `width` channels of each.
Piece piece_of(const TensorSpec& from, const TensorSpec& to, int64_t step, int64_t first, int64_t groups,
               int64_t width) {
  const Shape src = strides_over(from, step), dst = strides_over(to, step);
  const Shape extents{from.shape[0], groups, width, from.shape[2], from.shape[3]};
  // Innermost last in the destination, so that writes run on.
  std::vector<size_t> order{0, 1, 3, 4, 2};
  if (to.layout == Layout::kRowMajor) order = {0, 1, 2, 3, 4};
  if (to.layout == Layout::kNhwc) order = {0, 3, 4, 1, 2};
  Shape e, s, d;
  for (size_t axis : order) {
    e.push_back(extents[axis]);
    s.push_back(src[axis]);
    d.push_back(dst[axis]);
  }
  const auto size = static_cast<int64_t>(sizeof(float));
  return {StridedCopy(e, s, d, sizeof(float)), first * src[1] * size, first * dst[1] * size};
}

Result<KernelPtr> plan_plain_reorder(const TensorSpec& from, const TensorSpec& to) {
  if (from.dtype != to.dtype || from.shape != to.shape)
    return unsupported("a reorder from " + describe(from) + " to " + describe(to));
  if (from.layout == to.layout) return unsupported("a reorder between equal layouts");
  if (from.shape.size() != 4 || from.dtype != DType::kF32) return unsupported("a reorder of " + describe(from));
  const int64_t channels = from.shape[1];
  int64_t step = 16;
  for (Layout layout : {from.layout, to.layout}) {
    if (block_of(layout) > 1) step = std::min(step, block_of(layout));
  }
  const bool mixed = block_of(from.layout) > 1 && block_of(to.layout) > 1;
  if (mixed) return unsupported("a reorder between two blocked layouts; through row-major it is possible");
  std::vector<Piece> pieces;
  const int64_t whole = channels / step, rest = channels % step;
  if (whole > 0) pieces.push_back(piece_of(from, to, step, 0, whole, step));
  if (rest > 0) pieces.push_back(piece_of(from, to, step, whole, 1, rest));
  const bool clear = to.bytes() != TensorSpec{to.dtype, to.shape}.bytes();
  return make_kernel(
      [pieces = std::move(pieces), clear, bytes = to.bytes()](const KernelArgs& args, device::Team& team) {
        if (clear) std::memset(args.outputs[0].data, 0, bytes);
        for (const Piece& piece : pieces)
          piece.copy.run(args.inputs[0].data + piece.from, args.outputs[0].data + piece.to, team);
      });
}

}  // namespace

Result<KernelPtr> plan_reorder(const TensorSpec& from, const TensorSpec& to, int parts) {
  Result<KernelPtr> fast = onednn::plan_reorder(from, to, parts);
  if (fast.ok()) return fast;
  Result<KernelPtr> plain = plan_plain_reorder(from, to);
  if (!plain.ok()) plain.error().message += "; onednn: " + fast.error().message;
  return plain;
}

}  // namespace motet::ops
