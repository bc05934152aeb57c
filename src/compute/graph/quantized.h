// Quantised operands in a graph: u8 or i8 numbers with a scale and a zero point, real = (number - zero) * scale. What
// the passes on quantised models share. One thread at a time.
#pragma once

#include <optional>
#include <vector>

#include "compute/graph/rewrite.h"

namespace motet::graph {

// The ids of a quantised tensor and of its parameters, which are constants; `zero` is kNoValue where none was given.
struct Linear {
  ValueId numbers = kNoValue;
  ValueId scale = kNoValue;
  ValueId zero = kNoValue;
};

// What `id` was dequantised from, if a DequantizeLinear with constant parameters makes it.
std::optional<Linear> dequantised(const Rewriter& rewriter, ValueId id);
// True if scale and zero point are one number each, and the zero point (or, without one, the numbers) u8 or i8.
bool is_per_tensor(const Rewriter& rewriter, const Linear& linear);
// The zero points of a constant u8 or i8 (or, for biases, i32) tensor; zeros where none are given.
std::optional<std::vector<int32_t>> zeros_of(const Rewriter& rewriter, const Linear& linear);
// True if the numbers are constant and, less their zero points, fit i8: per tensor, or per slice of `axis`.
bool fits_i8(const Rewriter& rewriter, const Linear& weights, size_t axis);
// A bias as int32 in units of x_scale * weights' scales, made anew where it is not in that form already; nothing if it
// is not constant. REQUIRES: `bias` is given; `channels` of them.
std::optional<ValueId> bias_as_i32(Rewriter& rewriter, ValueId bias, ValueId x_scale, ValueId weight_scale,
                                   int64_t channels);
// `zero`, or where it is kNoValue a new zero of `dtype`.
ValueId zero_or_new(Rewriter& rewriter, ValueId zero, DType dtype);

}  // namespace motet::graph
