// Quantisation: rounding to even, saturation, one scale or one a slice; and ops on quantised numbers, whose scales are
// such that no result lies halfway between two numbers.
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
  for (bool constant : {false, true}) {
    for (const char* domain : {"", "com.microsoft"}) {
      const bool bytes = r.type == DType::kU8 || r.type == DType::kI8;
      if (*domain != 0 && !bytes) continue;
      cases.add({.op = "QuantizeLinear",
                 .domain = domain,
                 .opset = 21,
                 .attributes = {{"axis", int64_t{1}}},
                 .inputs = {f32_tensor(x), by[0], by[1]},
                 .constant = {false, constant, constant},
                 .expected = q,
                 .dtype = r.type});
      cases.add({.op = "DequantizeLinear",
                 .domain = domain,
                 .opset = 21,
                 .attributes = {{"axis", int64_t{1}}},
                 .inputs = {tensor_of(r.type, q), by[0], by[1]},
                 .constant = {false, constant, constant},
                 .expected = back,
                 .roundings = 2});
    }
  }
}

constexpr double kThird = 3;  // scale of results: a whole number over 3 is never halfway

// A tensor's scale and zero point, constant.
void add_scale(Case& c, double scale, DType type, double zero) {
  c.inputs.push_back(scalar(DType::kF32, scale));
  c.inputs.push_back(scalar(type, zero));
  c.constant.insert(c.constant.end(), {true, true});
}

void add_operand(Case& c, DType type, const Array& values, bool constant, double scale, double zero) {
  c.inputs.push_back(tensor_of(type, values));
  c.constant.push_back(constant);
  add_scale(c, scale, type, zero);
}

double stored(double value, const Range& r, double zero) {
  return std::min(r.high, std::max(r.low, std::nearbyint(value / kThird) + zero));
}

// [m, k] by [k, n] with zero points; QGemm takes a bias as well.
void add_product(Cases& cases, const Range& r, const char* op, const char* domain) {
  const bool gemm = std::string_view(op) == "QGemm";
  const Array a = cases.integers({5, 12}, 0, 9), b = cases.integers({12, 20}, -3, 3);
  const Array bias = cases.integers({20}, -20, 20);
  const double a_zero = 4, y_zero = r.zero;
  Case c{.op = op, .domain = domain, .dtype = r.type};
  add_operand(c, r.type, a, false, 1, a_zero);
  add_operand(c, DType::kI8, b, true, 1, 0);
  if (gemm) {
    c.inputs.push_back(tensor_of(DType::kI32, bias));
    c.constant.push_back(true);
  }
  add_scale(c, kThird, r.type, y_zero);
  c.expected = Array::filled({5, 20}, 0);
  for_each_index(c.expected.shape, [&](const Shape& i) {
    double sum = gemm ? bias.at({i[1]}) : 0;
    for (int64_t k = 0; k < 12; ++k) sum += (a.at({i[0], k}) - a_zero) * b.at({k, i[1]});
    c.expected.at(i) = stored(sum, r, y_zero);
  });
  cases.add(std::move(c));
}

// 3x3, padded by one: what is padded counts as the zero point.
void add_convolution(Cases& cases, const Range& r, int64_t group) {
  const int64_t channels = 8, filters = 64;
  const Array x = cases.integers({2, channels, 6, 5}, 0, 9);
  const Array w = cases.integers({filters, channels / group, 3, 3}, -2, 2);
  const Array bias = cases.integers({filters}, -20, 20);
  const double x_zero = 2, y_zero = r.zero;
  Case c{.op = "QLinearConv",
         .attributes = {{"group", group}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}},
         .dtype = r.type};
  add_operand(c, r.type, x, false, 1, x_zero);
  add_operand(c, DType::kI8, w, true, 1, 0);
  add_scale(c, kThird, r.type, y_zero);
  c.inputs.push_back(tensor_of(DType::kI32, bias));
  c.constant.push_back(true);
  c.expected = Array::filled({2, filters, 6, 5}, 0);
  for_each_index(c.expected.shape, [&](const Shape& i) {
    double sum = bias.at({i[1]});
    const int64_t first = i[1] / (filters / group) * (channels / group);
    for_each_index(Shape{channels / group, 3, 3}, [&](const Shape& k) {
      const int64_t row = i[2] + k[1] - 1, column = i[3] + k[2] - 1;
      if (row < 0 || row >= 6 || column < 0 || column >= 5) return;
      sum += (x.at({i[0], first + k[0], row, column}) - x_zero) * w.at({i[1], k[0], k[1], k[2]});
    });
    c.expected.at(i) = stored(sum, r, y_zero);
  });
  cases.add(std::move(c));
}

void add_element_wise(Cases& cases, const Range& r, const char* op, bool multiply) {
  for (const Shape& second : {Shape{2, 6, 3, 5}, Shape{6, 1, 1}}) {
    const Array a = cases.integers({2, 6, 3, 5}, 0, 11), b = cases.integers(second, 0, 11);
    const double a_zero = 5, b_zero = 7, y_zero = r.zero;
    Case c{.op = op, .domain = "com.microsoft", .dtype = r.type};
    add_operand(c, r.type, a, false, 1, a_zero);
    add_operand(c, r.type, b, false, 2, b_zero);
    add_scale(c, kThird, r.type, y_zero);
    c.expected = Array::filled(a.shape, 0);
    for_each_index(a.shape, [&](const Shape& i) {
      const double left = a.at(i) - a_zero;
      const double right = 2 * ((second.size() == 4 ? b.at(i) : b.at({i[1], 0, 0})) - b_zero);
      c.expected.at(i) = stored(multiply ? left * right : left + right, r, y_zero);
    });
    cases.add(std::move(c));
  }
}

void add_global_pool(Cases& cases, const Range& r) {
  const Array x = cases.integers({2, 9, 3, 3}, 0, 100);
  Case c{.op = "QLinearGlobalAveragePool", .domain = "com.microsoft", .dtype = r.type};
  add_operand(c, r.type, x, false, 1, 3);
  add_scale(c, 1, r.type, 3);
  c.expected = Array::filled({2, 9, 1, 1}, 0);
  for_each_index(c.expected.shape, [&](const Shape& i) {
    double sum = 0;
    for_each_index(Shape{3, 3}, [&](const Shape& p) { sum += x.at({i[0], i[1], p[0], p[1]}); });
    c.expected.at(i) = std::nearbyint(sum / 9);  // ninths are never halfway
  });
  cases.add(std::move(c));
}

Array less(const Array& x, double zero) {
  return map(x, [zero](double v) { return v - zero; });
}

void add_products(Cases& cases) {
  const Array a = cases.integers({2, 5, 7}, 0, 255), b = cases.integers({7, 4}, -128, 127);
  const Array sums = matmul(less(a, 120), less(b, 3));
  cases.add(
      {.op = "MatMulInteger",
       .inputs = {tensor_of(DType::kU8, a), tensor_of(DType::kI8, b), scalar(DType::kU8, 120), scalar(DType::kI8, 3)},
       .expected = sums,
       .dtype = DType::kI32});
}

void add_convolutions(Cases& cases) {
  const Array x = cases.integers({2, 4, 6, 5}, 0, 255), w = cases.integers({6, 2, 3, 2}, -128, 127);
  const ConvParameters p{.strides = {2, 1}, .dilations = {1, 2}, .pads = {1, 0, 1, 2}, .group = 2};
  const Attributes attributes{{"strides", std::vector<int64_t>{2, 1}},
                              {"dilations", std::vector<int64_t>{1, 2}},
                              {"pads", std::vector<int64_t>{1, 0, 1, 2}},
                              {"group", int64_t{2}}};
  cases.add({.op = "ConvInteger",
             .attributes = attributes,
             .inputs = {tensor_of(DType::kU8, x), tensor_of(DType::kI8, w), scalar(DType::kU8, 120)},
             .expected = conv(less(x, 120), w, nullptr, p),
             .dtype = DType::kI32});
}

// A range of 255 quarters, so that the scale is one quarter.
void add_dynamic(Cases& cases) {
  Array x = cases.integers({3, 40}, -80, 175);
  x.values[7] = -80;
  x.values[19] = 175;
  cases.add({.op = "DynamicQuantizeLinear",
             .inputs = {f32_tensor(map(x, [](double v) { return v / 4; }))},
             .expected = map(x, [](double v) { return v + 80; }),
             .dtype = DType::kU8,
             .more = {{{{}, {0.25}}, DType::kF32}, {{{}, {80}}, DType::kU8}}});
}

}  // namespace

void add_quant_cases(Cases& cases) {
  add_products(cases);
  add_convolutions(cases);
  add_dynamic(cases);
  const Range ranges[] = {{DType::kU8, 0, 255, 128},
                          {DType::kI8, -128, 127, 3},
                          {DType::kU16, 0, 65535, 9},
                          {DType::kI16, -32768, 32767, 0}};
  for (const Range& r : ranges) {
    add(cases, r, {{}, {0.25}}, {{}, {r.zero}});
    add(cases, r, cases.array({5}, 0.1, 2), Array::filled({5}, r.zero));
  }
  for (const Range& r : {ranges[0], ranges[1]}) {
    add_element_wise(cases, r, "QLinearAdd", false);
    add_element_wise(cases, r, "QLinearMul", true);
    add_global_pool(cases, r);
    add_product(cases, r, "QLinearMatMul", "");
    add_product(cases, r, "QGemm", "com.microsoft");
    add_convolution(cases, r, 1);
    add_convolution(cases, r, 8);
  }
  const Array q = cases.integers({4, 7}, -9999, 9999);
  cases.add({.op = "DequantizeLinear",
             .inputs = {tensor_of(DType::kI32, q), scalar(DType::kF32, 0.5)},
             .expected = map(q, [](double v) { return v / 2; })});
}

}  // namespace motet::ops::testing
