// Sliding windows of convolutions and pools over one to three spatial extents, always held as three (leading ones are
// 1). Plain values, any thread.
#pragma once

#include <array>

#include "compute/ops/kernel.h"

namespace motet::ops {

struct WindowAxis {
  int64_t in = 1, out = 1;
  int64_t kernel = 1, stride = 1, dilation = 1;
  int64_t pad_begin = 0, pad_end = 0;

  // Window positions k of output `o` that fall inside the input: o * stride - pad_begin + k * dilation.
  int64_t origin(int64_t o) const { return o * stride - pad_begin; }
  int64_t first_tap(int64_t o) const {
    const int64_t at = origin(o);
    return at >= 0 ? 0 : (-at + dilation - 1) / dilation;
  }
  int64_t end_tap(int64_t o) const {
    const int64_t room = in - origin(o);
    if (room <= 0) return 0;
    const int64_t taps = (room + dilation - 1) / dilation;
    return taps < kernel ? taps : kernel;
  }
  // Outputs [first, end) for which tap `k` falls inside the input.
  int64_t first_output(int64_t k) const {
    const int64_t short_by = pad_begin - k * dilation;
    return short_by <= 0 ? 0 : (short_by + stride - 1) / stride;
  }
  int64_t end_output(int64_t k) const {
    const int64_t room = in + pad_begin - k * dilation;  // input positions at and beyond output 0's
    if (room <= 0) return 0;
    const int64_t end = (room + stride - 1) / stride;
    return end < out ? end : out;
  }
};

struct Window {
  std::array<WindowAxis, 3> axes;
  size_t spatial = 0;  // how many of the axes, counted from the last, are the op's own

  int64_t in_plane() const { return axes[0].in * axes[1].in * axes[2].in; }
  int64_t out_plane() const { return axes[0].out * axes[1].out * axes[2].out; }
  int64_t taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

// From attributes kernel_shape (or `kernel`, the weights' extents), strides, dilations, pads, auto_pad, ceil_mode;
// input 0 is [N,C,...] and output 0's spatial extents must be what they give.
Result<Window> window_of(const NodeRequest& request, const Shape& kernel);

// The same for a transposed convolution, where `in` and `out` mean its own input and output: output position
// i * stride - pad_begin + k * dilation receives input i through tap k.
Result<Window> transposed_window_of(const NodeRequest& request, const Shape& kernel);

}  // namespace motet::ops
