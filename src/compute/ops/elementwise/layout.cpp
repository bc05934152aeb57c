#include "compute/ops/elementwise/layout.h"

#include "compute/ops/support/request.h"

namespace motet::ops {

Shape physical_shape(const TensorSpec& spec) {
  const Shape& s = spec.shape;
  if (spec.layout == Layout::kNhwc) return {s[0], s[2], s[3], s[1]};
  if (spec.layout == Layout::kRowMajor) return s;
  const int64_t block = spec.layout == Layout::kNChw8c ? 8 : 16;
  return {s[0], (s[1] + block - 1) / block, s[2], s[3], block};
}

Layout common_layout(const NodeRequest& request, size_t count, bool keeps_zero) {
  const TensorSpec& out = request.outputs[0];
  if (out.shape.size() != 4 || out.dtype != DType::kF32) return Layout::kRowMajor;
  Layout layout = Layout::kRowMajor;
  for (size_t i = 0; i < count; ++i) {
    if (request.inputs[i].layout != Layout::kRowMajor) layout = request.inputs[i].layout;
  }
  if (layout == Layout::kRowMajor) return layout;
  const bool blocked = layout != Layout::kNhwc;
  const int64_t block = layout == Layout::kNChw8c ? 8 : 16;
  if (blocked && !keeps_zero && out.shape[1] % block != 0) return Layout::kRowMajor;
  for (size_t i = 0; i < count; ++i) {
    const TensorSpec& in = request.inputs[i];
    // One element lies the same in every layout but the blocked ones, where it is padded.
    if (elements(in.shape) == 1 && in.layout == Layout::kRowMajor) continue;
    if (in.dtype != DType::kF32 || in.shape.size() != 4) return Layout::kRowMajor;
    if (in.shape[1] != out.shape[1]) return Layout::kRowMajor;
  }
  return layout;
}

}  // namespace motet::ops
