// Copies between layouts and types of one tensor, zeroing the padding of blocked ones.
#include <algorithm>
#include <cstring>

#include "compute/ops/elementwise/layout.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/registry.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"
#include "compute/ops/vector/loops.h"

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
  const size_t bytes = dtype_bytes(from.dtype);
  const auto size = static_cast<int64_t>(bytes);
  return {StridedCopy(e, s, d, bytes), first * src[1] * size, first * dst[1] * size};
}

Result<KernelPtr> plan_plain_reorder(const TensorSpec& from, const TensorSpec& to) {
  if (from.dtype != to.dtype || from.shape != to.shape)
    return unsupported("a reorder from " + describe(from) + " to " + describe(to));
  if (from.layout == to.layout) return unsupported("a reorder between equal layouts");
  if (from.shape.size() != 4) return unsupported("a reorder of " + describe(from));
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

// Between f32 and bf16 as they lie, padding included.
Result<KernelPtr> plan_conversion(const TensorSpec& from, const TensorSpec& to) {
  const bool widens = from.dtype == DType::kBF16 && to.dtype == DType::kF32;
  const bool narrows = from.dtype == DType::kF32 && to.dtype == DType::kBF16;
  if (from.layout != to.layout || from.shape != to.shape || !(widens || narrows))
    return unsupported("a conversion from " + describe(from) + " to " + describe(to));
  const auto count = static_cast<int64_t>(to.bytes() / dtype_bytes(to.dtype));
  return make_kernel(
      [count, widens](const KernelArgs& args, device::Team& team) {
        team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
          if (widens) {
            vec::loops().widen(input_data<uint16_t>(args, 0) + begin, output_data<float>(args, 0) + begin, end - begin);
          } else {
            vec::loops().narrow(input_data<float>(args, 0) + begin, output_data<uint16_t>(args, 0) + begin,
                                end - begin);
          }
        });
      },
      {.implementation = "own", .input_layouts = {from.layout}, .output_layout = to.layout});
}

// From blocks to row-major where all channels lie in one block that they do not fill, such as a segmentation's few
// classes: cut by pixels, of which each is read once. oneDNN's own is as fast whole, and a third slower in parts.
Result<KernelPtr> plan_few_channels(const TensorSpec& from, const TensorSpec& to) {
  const int64_t block = block_of(from.layout);
  if (block == 1 || to.layout != Layout::kRowMajor || from.dtype != to.dtype || dtype_bytes(from.dtype) != 4 ||
      from.shape != to.shape || from.shape[1] > block / 2)
    return unsupported("a reorder from " + describe(from) + " to " + describe(to));
  constexpr int64_t kRun = 64;  // pixels whose blocks stay in the first cache from channel to channel
  const int64_t channels = from.shape[1], pixels = from.shape[2] * from.shape[3];
  const int64_t runs = (pixels + kRun - 1) / kRun;
  return make_kernel(
      [=, pictures = from.shape[0]](const KernelArgs& args, device::Team& team) {
        const auto* source = input_data<uint32_t>(args, 0);
        auto* target = output_data<uint32_t>(args, 0);
        team.for_range(pictures * runs, kGrain / (kRun * block), [&](int64_t begin, int64_t end) {
          for (int64_t run = begin; run < end; ++run) {
            const int64_t picture = run / runs, first = run % runs * kRun;
            const int64_t count = std::min(kRun, pixels - first);
            const uint32_t* x = source + (picture * pixels + first) * block;
            uint32_t* y = target + picture * channels * pixels + first;
            for (int64_t c = 0; c < channels; ++c)
              for (int64_t p = 0; p < count; ++p) y[c * pixels + p] = x[p * block + c];
          }
        });
      },
      {.implementation = "own", .input_layouts = {from.layout}});
}

}  // namespace

Result<KernelPtr> plan_reorder(const TensorSpec& from, const TensorSpec& to, int parts) {
  Result<KernelPtr> conversion = plan_conversion(from, to);
  if (conversion.ok()) return conversion;
  Result<KernelPtr> few = plan_few_channels(from, to);
  if (few.ok()) return few;
  Result<KernelPtr> fast = onednn::plan_reorder(from, to, parts);
  if (fast.ok()) return fast;
  Result<KernelPtr> plain = plan_plain_reorder(from, to);
  if (!plain.ok()) plain.error().message += "; onednn: " + fast.error().message;
  return plain;
}

}  // namespace motet::ops
