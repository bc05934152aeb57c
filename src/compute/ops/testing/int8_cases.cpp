// motet:QuantisedMatMul on operands that quantisation does not change, so that every implementation must be exact: rows
// and weights are integers whose ranges make all scales 1, and on drawn ones, within what their scales allow.
#include <algorithm>
#include <cmath>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

using graph::PostOp;

// Each row has its least and greatest number, and these are 255 apart.
Array exact_rows(Cases& cases, const Shape& shape) {
  Array x = cases.integers(shape, -100, 155);
  const auto depth = static_cast<size_t>(shape.back());
  for (size_t row = 0; row < x.values.size(); row += depth) {
    x.values[row + row / depth % depth] = -100;
    x.values[row + (row / depth + 1) % depth] = 155;
  }
  return x;
}

// Each column has a number of the greatest magnitude, 127.
Array exact_weights(Cases& cases, int64_t depth, int64_t columns) {
  Array w = cases.integers({depth, columns}, -127, 127);
  for (int64_t c = 0; c < columns; ++c)
    w.values[static_cast<size_t>(c % depth * columns + c)] = c % 2 == 0 ? 127 : -127;
  return w;
}

Case product_case(const Array& x, const Array& w) {
  return {.op = "QuantisedMatMul",
          .domain = "motet",
          .opset = 1,
          .inputs = {f32_tensor(x), f32_tensor(w)},
          .constant = {false, true},
          .expected = matmul(x, w),
          // Scales of 1 and their inverses are rounded on the way.
          .roundings = static_cast<double>(x.shape.back()) + 8,
          .magnitude = matmul(sizes_of(x), sizes_of(w))};
}

void add_exact(Cases& cases, const Shape& rows, int64_t columns) {
  const Array x = exact_rows(cases, rows), w = exact_weights(cases, rows.back(), columns);
  Case plain = product_case(x, w);
  cases.add(plain);
  const Array bias = cases.array({columns}, -500, 500);
  Case biased = plain;
  biased.inputs.push_back(f32_tensor(bias));
  biased.expected = broadcast(plain.expected, bias, plus);
  biased.magnitude = broadcast(plain.magnitude, sizes_of(bias), plus);
  Case relu = biased;
  relu.post_ops = {{.kind = PostOp::Kind::kRelu}};
  relu.expected = map(relu.expected, [](double v) { return std::max(v, 0.0); });
  cases.add(std::move(relu));
  const Array other = cases.array(plain.expected.shape, -500, 500);
  Case residual = biased;
  residual.inputs.push_back(f32_tensor(other));
  residual.post_ops = {{.kind = PostOp::Kind::kAdd, .input = 3}};
  residual.expected = broadcast(biased.expected, other, plus);
  residual.magnitude = broadcast(biased.magnitude, sizes_of(other), plus);
  cases.add(std::move(residual));
  cases.add(std::move(biased));
  Case unbiased = plain;  // the residual where the bias would be
  unbiased.inputs.push_back(f32_tensor(other));
  unbiased.post_ops = {{.kind = PostOp::Kind::kAdd, .input = 2}};
  unbiased.expected = broadcast(plain.expected, other, plus);
  unbiased.magnitude = broadcast(plain.magnitude, sizes_of(other), plus);
  cases.add(std::move(unbiased));
  Case turned = plain;
  turned.attributes = {{"transB", int64_t{1}}};
  turned.inputs[1] = f32_tensor(transpose(w, {1, 0}));
  cases.add(std::move(turned));
}

// Weights that are integers in the model; one range for all rows.
void add_given(Cases& cases, const Shape& rows, int64_t columns, DType type, bool each) {
  const Array x = exact_rows(cases, rows);
  const bool is_signed = type == DType::kI8;
  const Array numbers = cases.integers({rows.back(), columns}, is_signed ? -120 : 3, is_signed ? 120 : 130);
  const Shape parameters = each ? Shape{columns} : Shape{};
  const Array scales = cases.array(parameters, 0.01, 0.1), zeros = cases.integers(parameters, is_signed ? -7 : 3, 7);
  Array w = broadcast(broadcast(numbers, zeros, [](double a, double b) { return a - b; }), scales,
                      [](double a, double b) { return a * b; });
  const Array bias = cases.array({columns}, -5, 5);
  Case c = product_case(x, w);
  c.attributes = {{"per_tensor", int64_t{1}}};
  c.inputs = {f32_tensor(x), tensor_of(type, numbers), f32_tensor(bias), f32_tensor(scales), tensor_of(type, zeros)};
  c.constant = {false, true, false, true, true};
  c.expected = broadcast(c.expected, bias, plus);
  c.magnitude = broadcast(c.magnitude, sizes_of(bias), plus);
  cases.add(std::move(c));
}

// Any numbers: half a unit of each scale is lost at every multiplication, at most.
void add_rounded(Cases& cases, const Shape& rows, int64_t columns) {
  const Array x = cases.array(rows, -3, 1), w = cases.array({rows.back(), columns});
  const Array all = map(x, [](double) { return 1.0; }), every = map(w, [](double) { return 1.0; });
  const Array lost_x = map(matmul(all, sizes_of(w)), [](double v) { return v * 4.0 / 255 / 2; });
  const Array lost_w = map(matmul(sizes_of(x), every), [](double v) { return v * 2.0 / 127 / 2; });
  Case c = product_case(x, w);
  c.magnitude = broadcast(lost_x, lost_w, plus);
  c.roundings = 0x1p24 * 1.01;
  cases.add(std::move(c));
}

}  // namespace

void add_int8_cases(Cases& cases) {
  for (const Shape& rows : {Shape{1, 33}, Shape{2, 64}, Shape{3, 5, 100}, Shape{7, 31}, Shape{50, 130},
                            Shape{2, 65, 48}, Shape{12, 4}, Shape{23, 257}, Shape{1, 1, 512}})
    for (int64_t columns : {1, 16, 40, 150}) add_exact(cases, rows, columns);
  for (DType type : {DType::kI8, DType::kU8})
    for (bool each : {false, true}) {
      add_given(cases, {3, 40}, 70, type, each);
      add_given(cases, {2, 30, 65}, 33, type, each);
    }
  add_rounded(cases, {40, 300}, 100);
  add_rounded(cases, {1, 300}, 100);
  Case wide = product_case(exact_rows(cases, {2, 8}), exact_weights(cases, 8, 8));
  wide.constant = {false, false};
  wide.refused = true;
  cases.add(std::move(wide));
}

}  // namespace motet::ops::testing
