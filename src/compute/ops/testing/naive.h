// Ops written down once more, in double precision and with no regard for speed: what every implementation is held
// against. For tests only. Row-major throughout.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/tensor/shape.h"

namespace motet::ops::testing {

struct Array {
  Shape shape;
  std::vector<double> values;

  static Array filled(Shape shape, double value) {
    const auto count = static_cast<size_t>(elements(shape));
    return {std::move(shape), std::vector<double>(count, value)};
  }
  double& at(const Shape& index);
  double at(const Shape& index) const { return const_cast<Array*>(this)->at(index); }
};

// Calls f for every index of `shape`, outermost first.
void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& f);

Array map(const Array& x, const std::function<double(double)>& f);
Array broadcast(const Array& a, const Array& b, const std::function<double(double, double)>& f);

struct ConvParameters {
  Shape strides, dilations, pads;
  int64_t group = 1;
};
Array conv(const Array& x, const Array& w, const Array* bias, const ConvParameters& p);
Array conv_transpose(const Array& x, const Array& w, const Array* bias, const ConvParameters& p);
// Two spatial extents; padding counts as absent.
Array pool(const Array& x, const Shape& kernel, const ConvParameters& p, bool max, bool count_padding);
// [m,k] times [k,n] over broadcast outer extents.
Array matmul(const Array& a, const Array& b);
Array transpose(const Array& x, const std::vector<size_t>& order);
Array softmax(const Array& x, size_t axis, bool log);
Array layer_norm(const Array& x, size_t axis, const Array& scale, const Array& bias, double epsilon);
// Per channel (axis 1): a x + b.
Array channel_affine(const Array& x, const std::vector<double>& a, const std::vector<double>& b);
// start folded with every element along `axes`, kept as extents of 1.
Array reduce(const Array& x, const std::vector<bool>& axes, double start,
             const std::function<double(double, double)>& f);
// X [t,b,i], W [1,4h,i], R [1,4h,h], B [1,8h]; Y [t,1,b,h].
Array lstm(const Array& x, const Array& w, const Array& r, const Array& bias, bool reverse);

}  // namespace motet::ops::testing
