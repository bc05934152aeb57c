// Quantisation: rounding to even, saturation, one scale or one a slice.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Range {
  DType type;
  double low, high, zero;
};

double nth(const Array& values, const Shape& i, size_t axis) {
  return values.values[values.values.size() == 1 ? 0 : static_cast<size_t>(i[axis])];
}

void add(Cases& cases, const Range& r, const Array& scale, const Array& zero) {
  const Array x = cases.array({3, 5, 14}, -40, 40);
  Array q = x, back = x;
  for_each_index(x.shape, [&](const Shape& i) {
    const float ratio = static_cast<float>(x.at(i)) / static_cast<float>(nth(scale, i, 1));
    q.at(i) = std::min(r.high, std::max(r.low, std::nearbyint(ratio) + nth(zero, i, 1)));
    back.at(i) = (q.at(i) - nth(zero, i, 1)) * nth(scale, i, 1);
  });
  const std::vector<Tensor> by = {f32_tensor(scale), tensor_of(r.type, zero)};
  cases.add({.op = "QuantizeLinear",
             .opset = 21,
             .attributes = {{"axis", int64_t{1}}},
             .inputs = {f32_tensor(x), by[0], by[1]},
             .expected = q,
             .dtype = r.type});
  cases.add({.op = "DequantizeLinear",
             .opset = 21,
             .attributes = {{"axis", int64_t{1}}},
             .inputs = {tensor_of(r.type, q), by[0], by[1]},
             .expected = back,
             .roundings = 2});
}

}  // namespace

void add_quant_cases(Cases& cases) {
  const Range ranges[] = {{DType::kU8, 0, 255, 128},
                          {DType::kI8, -128, 127, 3},
                          {DType::kU16, 0, 65535, 9},
                          {DType::kI16, -32768, 32767, 0}};
  for (const Range& r : ranges) {
    add(cases, r, {{}, {0.25}}, {{}, {r.zero}});
    add(cases, r, cases.array({5}, 0.1, 2), Array::filled({5}, r.zero));
  }
  const Array q = cases.integers({4, 7}, -9999, 9999);
  cases.add({.op = "DequantizeLinear",
             .inputs = {tensor_of(DType::kI32, q), scalar(DType::kF32, 0.5)},
             .expected = map(q, [](double v) { return v / 2; })});
}

}  // namespace motet::ops::testing
