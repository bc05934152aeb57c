// The cases of the conformance suite, by family: for every row of the table (table.h), nodes with seeded random
// operands and what they must give, computed in double precision. A new row needs cases here. For tests only.
#pragma once

#include <string_view>
#include <vector>

#include "compute/ops/testing/harness.h"

namespace motet::ops::testing {

using Attributes = std::map<std::string, graph::Attribute, std::less<>>;

// Makes operands and collects cases.
class Cases {
 public:
  explicit Cases(std::string_view family) : random_(20240611, family) {}

  int64_t extent(int64_t low, int64_t high) { return random_.between(low, high); }
  bool chance() { return random_.chance(0.5); }
  // Values that an f32 holds exactly, so that the expectation starts from the same numbers.
  Array array(Shape shape, double low = -2, double high = 2) {
    Array a = Array::filled(std::move(shape), 0);
    for (double& v : a.values) v = static_cast<float>(low + (high - low) * random_.uniform());
    return a;
  }
  Array integers(Shape shape, int64_t low, int64_t high) {
    Array a = Array::filled(std::move(shape), 0);
    for (double& v : a.values) v = static_cast<double>(random_.between(low, high));
    return a;
  }
  void add(Case c) { list_.push_back(std::move(c)); }
  const std::vector<Case>& list() const { return list_; }

 private:
  Random random_;
  std::vector<Case> list_;
};

// Integers as a constant operand: axes, shapes, starts.
inline Tensor ints(const std::vector<int64_t>& values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}
inline Tensor scalar(DType dtype, double value) { return tensor_of(dtype, {{}, {value}}); }
// Marks one of `rank` axes.
inline std::vector<bool> one_axis(size_t rank, size_t axis) {
  std::vector<bool> axes(rank);
  axes[axis] = true;
  return axes;
}
// The sizes of an array's elements.
inline Array sizes_of(const Array& a) {
  return map(a, [](double v) { return std::abs(v); });
}
inline double plus(double a, double b) { return a + b; }

void add_unary_cases(Cases& cases);
void add_binary_cases(Cases& cases);
void add_convolution_cases(Cases& cases);
void add_pooling_cases(Cases& cases);
void add_product_cases(Cases& cases);
void add_norm_cases(Cases& cases);
void add_reduce_cases(Cases& cases);
void add_recurrent_cases(Cases& cases);
void add_resize_cases(Cases& cases);
void add_quant_cases(Cases& cases);
void add_rearrange_cases(Cases& cases);
void add_index_cases(Cases& cases);
void add_algebra_cases(Cases& cases);
void add_signal_cases(Cases& cases);
void add_vision_cases(Cases& cases);
void add_fused_attention_cases(Cases& cases);
void add_int8_cases(Cases& cases);

struct Family {
  std::string_view name;
  void (*add)(Cases&);
};
inline constexpr Family kFamilies[] = {
    {"Unary", add_unary_cases},
    {"Binary", add_binary_cases},
    {"Convolution", add_convolution_cases},
    {"Pooling", add_pooling_cases},
    {"Product", add_product_cases},
    {"Norm", add_norm_cases},
    {"Reduce", add_reduce_cases},
    {"Recurrent", add_recurrent_cases},
    {"Resize", add_resize_cases},
    {"Quant", add_quant_cases},
    {"Rearrange", add_rearrange_cases},
    {"Index", add_index_cases},
    {"Algebra", add_algebra_cases},
    {"Signal", add_signal_cases},
    {"Vision", add_vision_cases},
    {"FusedAttention", add_fused_attention_cases},
    {"Int8", add_int8_cases},
};

}  // namespace motet::ops::testing
