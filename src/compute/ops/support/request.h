// What every plan function asks of its request: which operands exist, whether their types and extents are what the op
// says, and constants as numbers. Each helper that can fail returns an Error whose message is the reason of a refusal.
// Pure functions, any thread.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "compute/ops/kernel.h"

namespace motet::ops {

// "FP32[1,3,224,224]"
std::string describe(const TensorSpec& spec);

inline bool has_input(const NodeRequest& request, size_t i) { return i < request.inputs.size() && request.present[i]; }
inline bool has_output(const NodeRequest& request, size_t o) {
  return o < request.outputs.size() && o < request.node.outputs.size() && request.node.outputs[o] != graph::kNoValue;
}
// The constant value of input i, or nullptr.
inline const Tensor* constant_input(const NodeRequest& request, size_t i) {
  return has_input(request, i) && i < request.constants.size() ? request.constants[i] : nullptr;
}

// At least `least` and at most `most` inputs, the first `least` of them present; at least one output.
Status expect_inputs(const NodeRequest& request, size_t least, size_t most);
// Input i is present and has one of these types.
Status expect_type(const NodeRequest& request, size_t i, std::initializer_list<DType> allowed);
// Output o, if present, has this type and these extents: guards against wrong inference, on which memory safety would
// hang.
Status expect_output(const NodeRequest& request, size_t o, DType dtype, const Shape& shape);

// Input i as integers. It must be constant, of type int32 or int64.
Result<std::vector<int64_t>> constant_ints(const NodeRequest& request, size_t i, std::string_view what);
// Input i as f32 values. It must be constant, of a floating type.
Result<std::vector<float>> constant_floats(const NodeRequest& request, size_t i, std::string_view what);
// The one element of constant input i as a number, whatever its numeric type.
Result<double> constant_scalar(const NodeRequest& request, size_t i, std::string_view what);
// Integers from input i if it is there, else from the attribute; nothing if neither is.
Result<std::optional<std::vector<int64_t>>> ints_of_input_or_attribute(const NodeRequest& request, size_t i,
                                                                       std::string_view attribute);

// axis in [-rank, rank) as [0, rank).
Result<size_t> normalise_axis(int64_t axis, size_t rank);
// All of them, sorted; an axis given twice is an Error.
Result<std::vector<size_t>> normalise_axes(const std::vector<int64_t>& axes, size_t rank);

// Product of shape[from .. to).
int64_t product(const Shape& shape, size_t from, size_t to);
// Row-major strides in elements.
Shape strides_of(const Shape& shape);
// The common shape under numpy's rule, or an Error naming both.
Result<Shape> broadcast_shape(const Shape& a, const Shape& b);

bool is_float(DType dtype);    // f16, bf16, f32, f64
bool is_integer(DType dtype);  // not bool

}  // namespace motet::ops
