// Matrix products: batches and their broadcasts, vectors, long and empty sums, biases, transposes, post-ops.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

using graph::PostOp;

void add_matmul(Cases& cases, const Shape& left, const Shape& right) {
  const Array a = cases.array(left), b = cases.array(right);
  const auto k = static_cast<double>(left.back());
  const Array y = matmul(a, b), sizes = matmul(sizes_of(a), sizes_of(b));
  for (bool constant : {false, true}) {
    cases.add({.op = "MatMul",
               .inputs = {f32_tensor(a), f32_tensor(b)},
               .constant = {false, constant},
               .expected = y,
               .roundings = k + 1,
               .magnitude = sizes});
  }
  const Array bias = cases.array({right.back()});
  Case biased{.op = "MatMul",
              .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(bias)},
              .constant = {false, true, true},
              .expected = broadcast(y, bias, plus),
              .roundings = k + 2,
              .magnitude = broadcast(sizes, sizes_of(bias), plus)};
  cases.add(biased);
  auto with = [&](PostOp op, double (*f)(double), double extra) {
    Case c = biased;
    c.post_ops = {op};
    c.expected = map(c.expected, f);
    c.roundings += extra;
    c.floor = 1;
    cases.add(std::move(c));
  };
  with({.kind = PostOp::Kind::kRelu}, [](double v) { return std::max(v, 0.0); }, 0);
  // Their slopes are at most 1.13.
  with({.kind = PostOp::Kind::kGeluErf}, [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }, k + 16);
  with(
      {.kind = PostOp::Kind::kGeluTanh},
      [](double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))); }, k + 40);
  const Array other = cases.array(y.shape);
  Case residual = biased;
  residual.inputs.push_back(f32_tensor(other));
  residual.post_ops = {{.kind = PostOp::Kind::kAdd, .input = 3}};
  residual.expected = broadcast(biased.expected, other, plus);
  residual.magnitude = broadcast(biased.magnitude, sizes_of(other), plus);
  cases.add(std::move(residual));
}

void add_other_types(Cases& cases) {
  const Array a = cases.integers({2, 5, 8}, -9, 9), b = cases.integers({8, 3}, -9, 9);
  for (DType type : {DType::kI32, DType::kI64, DType::kF64, DType::kF16})
    cases.add(
        {.op = "MatMul", .inputs = {tensor_of(type, a), tensor_of(type, b)}, .expected = matmul(a, b), .dtype = type});
}

// Long enough to be cut into a grid, with rows and columns that do not divide.
void add_long(Cases& cases) {
  add_matmul(cases, {150, 600}, {600, 300});
  add_matmul(cases, {2, 65, 500}, {500, 417});
  const Array a = cases.array({100, 700}), b = cases.array({380, 700}), c = cases.array({380});
  const Array turned = transpose(b, {1, 0});
  cases.add({.op = "Gemm",
             .attributes = {{"transB", int64_t{1}}},
             .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(c)},
             .constant = {false, true, true},
             .expected = broadcast(matmul(a, turned), c, plus),
             .roundings = 702,
             .magnitude = broadcast(matmul(sizes_of(a), sizes_of(turned)), sizes_of(c), plus)});
}

// Few rows with panels of weights: as many as fit the registers and more, several panels of which the last is not full,
// and a residual that comes where a bias might be.
void add_few(Cases& cases) {
  for (int64_t rows : {1, 2, 8, 12, 13, 25, 48, 49}) add_matmul(cases, {rows, 150}, {150, 32 * (rows % 4) + 9});
  add_matmul(cases, {2, 4, 513}, {513, 700});
  const Array a = cases.array({6, 70}), b = cases.array({45, 70}), turned = transpose(b, {1, 0});
  const Array other = cases.array({6, 45});
  cases.add({.op = "Gemm",
             .attributes = {{"transB", int64_t{1}}},
             .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(other)},
             .constant = {false, true, false},
             .post_ops = {{.kind = PostOp::Kind::kAdd, .input = 2}},
             .expected = broadcast(matmul(a, turned), other, plus),
             .roundings = 72,
             .magnitude = broadcast(matmul(sizes_of(a), sizes_of(turned)), sizes_of(other), plus)});
}

void add_vectors(Cases& cases) {
  const Array m = cases.array({5, 80}), v = cases.array({80}), w = cases.array({80, 6});
  auto shaped = [](Array a, Shape shape) {
    a.shape = std::move(shape);
    return a;
  };
  const Array column = matmul(m, shaped(v, {80, 1})), row = matmul(shaped(v, {1, 80}), w);
  const Array dot = matmul(shaped(v, {1, 80}), shaped(v, {80, 1}));
  auto add = [&](const Array& a, const Array& b, const Array& y, const Shape& shape) {
    for (bool constant : {false, true})
      cases.add({.op = "MatMul",
                 .inputs = {f32_tensor(a), f32_tensor(b)},
                 .constant = {false, constant},
                 .expected = shaped(y, shape),
                 .roundings = 81,
                 .floor = 100});
  };
  add(m, v, column, {5});
  add(v, w, row, {6});
  add(v, v, dot, {});
}

void add_gemm(Cases& cases, int round) {
  const int64_t m = round == 0 ? 1 : cases.extent(1, 9), n = cases.extent(1, 40), k = cases.extent(1, 30);
  const bool ta = (round & 1) != 0, tb = (round & 2) != 0;
  const float alpha = (round & 4) != 0 ? 0.5f : 1.0f, beta = (round & 8) != 0 ? 2.0f : 1.0f;
  const Array a = cases.array(ta ? Shape{k, m} : Shape{m, k}), b = cases.array(tb ? Shape{n, k} : Shape{k, n});
  const Array left = ta ? transpose(a, {1, 0}) : a, right = tb ? transpose(b, {1, 0}) : b;
  const Array product = matmul(left, right), sizes = matmul(sizes_of(left), sizes_of(right));
  auto joined = [&](double p, double q) { return alpha * p + beta * q; };
  const Attributes attributes{{"transA", int64_t{ta}}, {"transB", int64_t{tb}}, {"alpha", alpha}, {"beta", beta}};
  const bool constant = round % 3 != 0;
  for (const Shape& shape : {Shape{n}, Shape{m, 1}, Shape{m, n}, Shape{1}, Shape{}}) {
    const Array c = cases.array(shape);
    cases.add({.op = "Gemm",
               .attributes = attributes,
               .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(c)},
               .constant = {false, constant, constant},
               .expected = broadcast(product, c, joined),
               .roundings = static_cast<double>(k) + 4,
               .magnitude = broadcast(sizes, sizes_of(c), joined)});
  }
  cases.add({.op = "Gemm",
             .attributes = attributes,
             .inputs = {f32_tensor(a), f32_tensor(b)},
             .constant = {false, constant},
             .expected = map(product, [&](double v) { return alpha * v; }),
             .roundings = static_cast<double>(k) + 4,
             .magnitude = sizes});
}

}  // namespace

void add_product_cases(Cases& cases) {
  const std::pair<Shape, Shape> shapes[] = {{{7, 33}, {33, 50}},
                                            {{1, 64}, {64, 10}},
                                            {{2, 3, 5, 8}, {2, 3, 8, 4}},
                                            {{2, 3, 5, 8}, {8, 37}},
                                            {{4, 1, 2, 3}, {1, 5, 3, 2}},
                                            {{3, 0}, {0, 2}},
                                            {{1, 300}, {300, 1}},
                                            {{130, 5}, {5, 130}},
                                            {{0, 3}, {3, 4}},
                                            {{1, 1}, {1, 1}},
                                            {{1, 2000}, {2000, 70}},
                                            {{2, 1, 256}, {256, 300}},
                                            {{5, 8}, {3, 8, 4}},
                                            {{1, 48}, {48, 1000}},
                                            {{3, 96}, {96, 257}},
                                            {{2, 4, 17, 64}, {2, 4, 64, 17}}};
  for (const auto& [left, right] : shapes) add_matmul(cases, left, right);
  add_long(cases);
  add_few(cases);
  add_other_types(cases);
  add_vectors(cases);
  for (int round = 0; round < 16; ++round) add_gemm(cases, round);
}

}  // namespace motet::ops::testing
