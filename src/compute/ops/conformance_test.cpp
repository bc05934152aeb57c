// Every implementation of an op against the same op written down in double precision, over random extents and layouts.
#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"
#include "compute/ops/testing/harness.h"

namespace motet::ops::testing {
namespace {

using graph::PostOp;

class Conformance : public ::testing::Test {
 protected:
  int64_t extent(int64_t low, int64_t high) { return random_.between(low, high); }
  // Values that a float holds exactly, so that the expectation starts from the same numbers.
  Array array(Shape shape, double low = -2, double high = 2) {
    Array a = Array::filled(std::move(shape), 0);
    for (double& v : a.values) v = static_cast<float>(low + (high - low) * random_.uniform());
    return a;
  }
  Random random_{20240611, "conformance"};
};

TEST_F(Conformance, Unary) {
  struct Entry {
    const char* op;
    double (*f)(double);
    double low, high, tolerance;
  };
  const Entry entries[] = {
      {"Abs", [](double v) { return std::abs(v); }, -5, 5, 0},
      {"Neg", [](double v) { return -v; }, -5, 5, 0},
      {"Relu", [](double v) { return std::max(v, 0.0); }, -5, 5, 0},
      {"LeakyRelu", [](double v) { return v < 0 ? 0.01f * v : v; }, -5, 5, 1e-6},
      {"Sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }, -20, 20, 1e-5},
      {"Tanh", [](double v) { return std::tanh(v); }, -9, 9, 1e-5},
      {"Exp", [](double v) { return std::exp(v); }, -10, 3, 1e-5},
      {"Log", [](double v) { return std::log(v); }, 0.01, 9, 1e-5},
      {"Erf", [](double v) { return std::erf(v); }, -4, 4, 1e-5},
      {"Sqrt", [](double v) { return std::sqrt(v); }, 0, 9, 1e-6},
      {"Reciprocal", [](double v) { return 1 / v; }, 0.1, 9, 1e-6},
      {"Floor", [](double v) { return std::floor(v); }, -5, 5, 0},
      {"Ceil", [](double v) { return std::ceil(v); }, -5, 5, 0},
      {"Round", [](double v) { return std::nearbyint(v); }, -5, 5, 0},
      {"Softplus", [](double v) { return std::log1p(std::exp(v)); }, -5, 5, 1e-5},
      {"Elu", [](double v) { return v < 0 ? std::expm1(v) : v; }, -5, 5, 1e-5},
      {"HardSigmoid", [](double v) { return std::min(1.0, std::max(0.0, 0.2f * v + 0.5)); }, -5, 5, 1e-5},
      {"HardSwish", [](double v) { return v * std::min(1.0, std::max(0.0, v / 6 + 0.5)); }, -5, 5, 1e-5},
      {"Gelu", [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); }, -5, 5, 1e-5},
      {"Mish", [](double v) { return v * std::tanh(std::log1p(std::exp(v))); }, -5, 5, 1e-5},
      {"Sin", [](double v) { return std::sin(v); }, -5, 5, 1e-5},
  };
  for (const Entry& e : entries) {
    for (const Shape& shape : {Shape{}, Shape{1037}, Shape{2, 19, 3, 5}, Shape{1, 32, 4, 4}}) {
      const Array x = array(shape, e.low, e.high);
      check_case(
          {.op = e.op, .opset = 20, .inputs = {f32_tensor(x)}, .expected = map(x, e.f), .tolerance = e.tolerance});
    }
  }
}

TEST_F(Conformance, ClipTakesBoundsFromAttributesOrInputs) {
  const Array x = array({2, 17, 3, 3}, -9, 9);
  const Array y = map(x, [](double v) { return std::min(6.0, std::max(0.0, v)); });
  check_case({.op = "Clip",
              .opset = 6,
              .attributes = {{"min", 0.0f}, {"max", 6.0f}},
              .inputs = {f32_tensor(x)},
              .expected = y});
  const Tensor low = f32_tensor({{}, {0}}), high = f32_tensor({{}, {6}});
  check_case({.op = "Clip",
              .opset = 13,
              .inputs = {f32_tensor(x), low, high},
              .constant = {false, true, true},
              .expected = y});
  check_case({.op = "Clip", .opset = 13, .inputs = {f32_tensor(x), low, high}, .expected = y});
  const Array capped = map(x, [](double v) { return std::min(6.0, v); });
  check_case({.op = "Clip", .opset = 13, .inputs = {f32_tensor(x), Tensor(), high}, .expected = capped});
}

TEST_F(Conformance, BinaryBroadcasts) {
  struct Entry {
    const char* op;
    double (*f)(double, double);
  };
  const Entry entries[] = {{"Add", [](double a, double b) { return a + b; }},
                           {"Sub", [](double a, double b) { return a - b; }},
                           {"Mul", [](double a, double b) { return a * b; }},
                           {"Div", [](double a, double b) { return a / b; }},
                           {"Max", [](double a, double b) { return std::max(a, b); }},
                           {"Min", [](double a, double b) { return std::min(a, b); }},
                           {"Pow", [](double a, double b) { return std::pow(a, b); }},
                           {"PRelu", [](double a, double b) { return a < 0 ? a * b : a; }}};
  const std::pair<Shape, Shape> shapes[] = {{{2, 19, 3, 5}, {2, 19, 3, 5}},
                                            {{2, 16, 3, 5}, {1, 16, 1, 1}},
                                            {{2, 19, 3, 5}, {}},
                                            {{2, 16, 4, 4}, {1, 1, 1, 1}},
                                            {{3, 1, 7}, {5, 1}},
                                            {{4}, {2, 3, 4}},
                                            {{0, 3}, {1, 3}},
                                            {{9}, {9}}};
  for (const Entry& e : entries) {
    for (const auto& [left, right] : shapes) {
      if (std::string_view(e.op) == "PRelu" && right.size() > left.size()) continue;
      const Array a = array(left, 0.5, 3), b = array(right, 0.5, 3);
      const Array y = broadcast(a, b, e.f);
      if (std::string_view(e.op) == "PRelu" && y.shape != a.shape) continue;
      check_case({.op = e.op, .inputs = {f32_tensor(a), f32_tensor(b)}, .expected = y});
    }
  }
}

TEST_F(Conformance, SumOfManyMayUseOneOperandTwice) {
  const Array a = array({3, 4}), b = array({4});
  auto plus = [](double p, double q) { return p + q; };
  check_case({.op = "Sum",
              .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(a)},
              .expected = broadcast(broadcast(a, b, plus), a, plus)});
}

TEST_F(Conformance, Conv) {
  for (int round = 0; round < 24; ++round) {
    const int64_t group = round % 4 == 3 ? 8 : round % 4 == 2 ? 2 : 1;
    const int64_t in_each = group == 8 ? 1 : extent(1, 9), out_each = group == 8 ? 1 : extent(1, 9);
    const int64_t k = round % 3 == 0 ? 1 : 3;
    const Array x = array({extent(1, 2), in_each * group, extent(4, 9), extent(4, 9)});
    const Array w = array({out_each * group, in_each, k, k}), bias = array({out_each * group});
    const int64_t stride = extent(1, 2), dilation = k == 1 ? 1 : extent(1, 2), pad = k == 1 ? 0 : extent(0, 2);
    const ConvParameters p{{stride, stride}, {dilation, dilation}, {pad, pad, pad, pad}, group};
    const bool biased = round % 2 == 0;
    Case c{.op = "Conv",
           .attributes = {{"strides", p.strides}, {"dilations", p.dilations}, {"pads", p.pads}, {"group", group}},
           .inputs = {f32_tensor(x), f32_tensor(w)},
           .constant = {false, true, true},
           .expected = conv(x, w, biased ? &bias : nullptr, p)};
    if (biased) c.inputs.push_back(f32_tensor(bias));
    check_case(c);
  }
}

TEST_F(Conformance, ConvOverOneAndThreeExtents) {
  const Array x1 = array({2, 3, 11}), w1 = array({5, 3, 3});
  check_case({.op = "Conv",
              .attributes = {{"strides", Shape{2}}, {"pads", Shape{1, 1}}},
              .inputs = {f32_tensor(x1), f32_tensor(w1)},
              .constant = {false, true},
              .expected = conv(x1, w1, nullptr, {{2}, {1}, {1, 1}, 1})});
  const Array x3 = array({1, 2, 4, 5, 6}), w3 = array({3, 2, 2, 3, 3});
  check_case({.op = "Conv",
              .attributes = {{"pads", Shape{0, 1, 1, 0, 1, 1}}},
              .inputs = {f32_tensor(x3), f32_tensor(w3)},
              .constant = {false, true},
              .expected = conv(x3, w3, nullptr, {{1, 1, 1}, {1, 1, 1}, {0, 1, 1, 0, 1, 1}, 1})});
}

TEST_F(Conformance, ConvWithPostOps) {
  const Array x = array({1, 16, 6, 6}), w = array({32, 16, 3, 3}), bias = array({32}), other = array({1, 32, 6, 6});
  const ConvParameters p{{1, 1}, {1, 1}, {1, 1, 1, 1}, 1};
  const Array sum = broadcast(conv(x, w, &bias, p), other, [](double a, double b) { return a + b; });
  check_case({.op = "Conv",
              .attributes = {{"pads", p.pads}},
              .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias), f32_tensor(other)},
              .constant = {false, true, true},
              .post_ops = {{PostOp::Kind::kAdd, 0, 0, 3}, {PostOp::Kind::kRelu}},
              .expected = map(sum, [](double v) { return std::max(v, 0.0); })});
  check_case({.op = "Conv",
              .attributes = {{"pads", p.pads}},
              .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias)},
              .constant = {false, true, true},
              .post_ops = {{PostOp::Kind::kClip, 0, 6, -1}},
              .expected = map(conv(x, w, &bias, p), [](double v) { return std::min(6.0, std::max(v, 0.0)); })});
}

TEST_F(Conformance, ConvTranspose) {
  for (int64_t group : {1, 2}) {
    for (int64_t stride : {1, 2, 3}) {
      const Array x = array({2, 4, 5, 4}), w = array({4, 3, 3, 3}), bias = array({3 * group});
      const ConvParameters p{{stride, stride}, {1, 1}, {1, 1, 1, 1}, group};
      check_case({.op = "ConvTranspose",
                  .attributes = {{"strides", p.strides}, {"pads", p.pads}, {"group", group}},
                  .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(bias)},
                  .constant = {false, true, true},
                  .expected = conv_transpose(x, w, &bias, p)});
    }
  }
}

TEST_F(Conformance, Pools) {
  for (int64_t stride : {1, 2}) {
    for (int64_t pad : {0, 1}) {
      const Array x = array({2, 17, 7, 8});
      const ConvParameters p{{stride, stride}, {1, 1}, {pad, pad, pad, pad}, 1};
      const std::map<std::string, graph::Attribute, std::less<>> attributes{
          {"kernel_shape", Shape{3, 2}}, {"strides", p.strides}, {"pads", p.pads}};
      check_case({.op = "MaxPool",
                  .attributes = attributes,
                  .inputs = {f32_tensor(x)},
                  .expected = pool(x, {3, 2}, p, true, false)});
      check_case({.op = "AveragePool",
                  .attributes = attributes,
                  .inputs = {f32_tensor(x)},
                  .expected = pool(x, {3, 2}, p, false, false)});
      auto counted = attributes;
      counted.emplace("count_include_pad", int64_t{1});
      check_case({.op = "AveragePool",
                  .attributes = counted,
                  .inputs = {f32_tensor(x)},
                  .expected = pool(x, {3, 2}, p, false, true)});
    }
  }
  const Array x = array({2, 20, 5, 5});
  const ConvParameters whole{{1, 1}, {1, 1}, {0, 0, 0, 0}, 1};
  check_case({.op = "GlobalAveragePool", .inputs = {f32_tensor(x)}, .expected = pool(x, {5, 5}, whole, false, false)});
  check_case({.op = "GlobalMaxPool", .inputs = {f32_tensor(x)}, .expected = pool(x, {5, 5}, whole, true, false)});
}

TEST_F(Conformance, MatMul) {
  const std::pair<Shape, Shape> shapes[] = {
      {{7, 33}, {33, 50}},          {{1, 64}, {64, 10}}, {{2, 3, 5, 8}, {2, 3, 8, 4}}, {{2, 3, 5, 8}, {8, 37}},
      {{4, 1, 2, 3}, {1, 5, 3, 2}}, {{3, 0}, {0, 2}},    {{1, 300}, {300, 1}},         {{130, 5}, {5, 130}}};
  for (const auto& [left, right] : shapes) {
    const Array a = array(left), b = array(right);
    for (bool constant : {false, true}) {
      check_case({.op = "MatMul",
                  .inputs = {f32_tensor(a), f32_tensor(b)},
                  .constant = {false, constant},
                  .expected = matmul(a, b)});
    }
    const Array bias = array({right.back()});
    check_case({.op = "MatMul",
                .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(bias)},
                .constant = {false, true, true},
                .post_ops = {{PostOp::Kind::kRelu}},
                .expected = map(broadcast(matmul(a, b), bias, [](double p, double q) { return p + q; }),
                                [](double v) { return std::max(v, 0.0); })});
  }
}

TEST_F(Conformance, Gemm) {
  for (int round = 0; round < 16; ++round) {
    const int64_t m = extent(1, 9), n = extent(1, 40), k = extent(1, 30);
    const bool ta = round & 1, tb = round & 2;
    const float alpha = round & 4 ? 0.5f : 1.0f, beta = round & 8 ? 2.0f : 1.0f;
    const Array a = array(ta ? Shape{k, m} : Shape{m, k}), b = array(tb ? Shape{n, k} : Shape{k, n});
    const Array product = matmul(ta ? transpose(a, {1, 0}) : a, tb ? transpose(b, {1, 0}) : b);
    for (const Shape& shape : {Shape{n}, Shape{m, 1}, Shape{m, n}, Shape{1}}) {
      const Array c = array(shape);
      check_case({.op = "Gemm",
                  .attributes = {{"transA", int64_t{ta}}, {"transB", int64_t{tb}}, {"alpha", alpha}, {"beta", beta}},
                  .inputs = {f32_tensor(a), f32_tensor(b), f32_tensor(c)},
                  .constant = {false, round % 3 != 0, round % 3 != 0},
                  .expected = broadcast(product, c, [&](double p, double q) { return alpha * p + beta * q; })});
    }
  }
}

TEST_F(Conformance, Softmax) {
  const Array x = array({3, 5, 70, 2}, -8, 8);
  for (size_t axis = 0; axis < 4; ++axis) {
    for (bool log : {false, true}) {
      check_case({.op = log ? "LogSoftmax" : "Softmax",
                  .attributes = {{"axis", static_cast<int64_t>(axis)}},
                  .inputs = {f32_tensor(x)},
                  .expected = softmax(x, axis, log)});
    }
  }
  // Before opset 13 everything from the axis on is one row.
  Array flat = x;
  flat.shape = {3, 700};
  Array y = softmax(flat, 1, false);
  y.shape = x.shape;
  check_case({.op = "Softmax", .opset = 11, .inputs = {f32_tensor(x)}, .expected = y});
}

TEST_F(Conformance, Normalisations) {
  const Array x = array({2, 20, 3, 5}), scale = array({3, 5}), shift = array({3, 5});
  check_case({.op = "LayerNormalization",
              .attributes = {{"axis", int64_t{2}}},
              .inputs = {f32_tensor(x), f32_tensor(scale), f32_tensor(shift)},
              .constant = {false, true, true},
              .expected = layer_norm(x, 2, scale, shift, 1e-5)});
  const Array gamma = array({20}), beta = array({20}), mean = array({20}), variance = array({20}, 0.5, 2);
  std::vector<double> a, b;
  for (size_t c = 0; c < 20; ++c) {
    a.push_back(gamma.values[c] / std::sqrt(variance.values[c] + 1e-5));
    b.push_back(beta.values[c] - mean.values[c] * a.back());
  }
  for (const Array& in : {x, array({3, 20})}) {
    check_case({.op = "BatchNormalization",
                .inputs = {f32_tensor(in), f32_tensor(gamma), f32_tensor(beta), f32_tensor(mean), f32_tensor(variance)},
                .constant = {false, true, true, true, true},
                .expected = channel_affine(in, a, b)});
  }
}

TEST_F(Conformance, Reductions) {
  struct Entry {
    const char* op;
    double start;
    double (*f)(double, double);
    double (*finish)(double, double);
  };
  auto same = [](double v, double) { return v; };
  const Entry entries[] = {
      {"ReduceSum", 0, [](double a, double v) { return a + v; }, same},
      {"ReduceMean", 0, [](double a, double v) { return a + v; }, [](double v, double n) { return v / n; }},
      {"ReduceMax", -1e30, [](double a, double v) { return std::max(a, v); }, same},
      {"ReduceMin", 1e30, [](double a, double v) { return std::min(a, v); }, same},
      {"ReduceProd", 1, [](double a, double v) { return a * v; }, same},
      {"ReduceL1", 0, [](double a, double v) { return a + std::abs(v); }, same},
      {"ReduceL2", 0, [](double a, double v) { return a + v * v; }, [](double v, double) { return std::sqrt(v); }},
      {"ReduceSumSquare", 0, [](double a, double v) { return a + v * v; }, same},
      {"ReduceLogSumExp", 0, [](double a, double v) { return a + std::exp(v); },
       [](double v, double) { return std::log(v); }},
  };
  const Array x = array({2, 3, 17, 4}, 0.5, 1.5);
  for (const Entry& e : entries) {
    for (int mask = 0; mask < 16; ++mask) {
      std::vector<bool> axes;
      Shape list;
      double n = 1;
      for (int d = 0; d < 4; ++d) {
        axes.push_back(mask == 0 || (mask >> d & 1) != 0);
        if ((mask >> d & 1) != 0) list.push_back(d);
        if (axes.back()) n *= static_cast<double>(x.shape[static_cast<size_t>(d)]);
      }
      const Array y = map(reduce(x, axes, e.start, e.f), [&](double v) { return e.finish(v, n); });
      Case c{.op = e.op, .opset = 11, .inputs = {f32_tensor(x)}, .expected = y};
      if (mask != 0) c.attributes.emplace("axes", list);
      check_case(c);
    }
  }
}

TEST_F(Conformance, Moves) {
  const Array x = array({2, 16, 3, 5});
  const Array moved = transpose(x, {0, 2, 3, 1});
  check_case(
      {.op = "Transpose", .attributes = {{"perm", Shape{0, 2, 3, 1}}}, .inputs = {f32_tensor(x)}, .expected = moved});
  check_case({.op = "Transpose", .inputs = {f32_tensor(x)}, .expected = transpose(x, {3, 2, 1, 0})});
  const Array other = array({2, 32, 3, 5});
  for (const Array& more : {other, array({2, 7, 3, 5})}) {
    Array y = Array::filled({2, 16 + more.shape[1], 3, 5}, 0);
    for_each_index(y.shape,
                   [&](const Shape& i) { y.at(i) = i[1] < 16 ? x.at(i) : more.at({i[0], i[1] - 16, i[2], i[3]}); });
    check_case({.op = "Concat",
                .attributes = {{"axis", int64_t{1}}},
                .inputs = {f32_tensor(x), f32_tensor(more)},
                .expected = y});
  }
}

TEST_F(Conformance, LargeTransposesGoThroughTiles) {
  const Array x = array({2, 70, 65});
  check_case({.op = "Transpose",
              .attributes = {{"perm", Shape{0, 2, 1}}},
              .inputs = {f32_tensor(x)},
              .expected = transpose(x, {0, 2, 1})});
  check_case({.op = "Transpose",
              .attributes = {{"perm", Shape{2, 1, 0}}},
              .inputs = {f32_tensor(x)},
              .expected = transpose(x, {2, 1, 0})});
}

TEST_F(Conformance, ResizeByNearestAndByLines) {
  const Array x = array({1, 16, 3, 4});
  const Tensor scales = f32_tensor({{4}, {1, 1, 2, 2}});
  Array nearest = Array::filled({1, 16, 6, 8}, 0), linear = nearest;
  for_each_index(nearest.shape, [&](const Shape& i) {
    nearest.at(i) = x.at({0, i[1], i[2] / 2, i[3] / 2});
    auto sample = [&](int64_t h, int64_t w) {
      return x.at(
          {0, i[1], std::min<int64_t>(2, std::max<int64_t>(0, h)), std::min<int64_t>(3, std::max<int64_t>(0, w))});
    };
    const double h = (static_cast<double>(i[2]) + 0.5) / 2 - 0.5, w = (static_cast<double>(i[3]) + 0.5) / 2 - 0.5;
    const auto h0 = static_cast<int64_t>(std::floor(h)), w0 = static_cast<int64_t>(std::floor(w));
    const double fh = h - static_cast<double>(h0), fw = w - static_cast<double>(w0);
    linear.at(i) = (1 - fh) * ((1 - fw) * sample(h0, w0) + fw * sample(h0, w0 + 1)) +
                   fh * ((1 - fw) * sample(h0 + 1, w0) + fw * sample(h0 + 1, w0 + 1));
  });
  check_case({.op = "Resize",
              .opset = 13,
              .attributes = {{"coordinate_transformation_mode", std::string("asymmetric")},
                             {"nearest_mode", std::string("floor")}},
              .inputs = {f32_tensor(x), Tensor(), scales},
              .constant = {false, false, true},
              .expected = nearest});
  check_case({.op = "Resize",
              .opset = 13,
              .attributes = {{"mode", std::string("linear")}},
              .inputs = {f32_tensor(x), Tensor(), scales},
              .constant = {false, false, true},
              .expected = linear});
}

TEST_F(Conformance, Lstm) {
  for (bool reverse : {false, true}) {
    const Array x = array({5, 2, 7}), w = array({1, 36, 7}, -1, 1), r = array({1, 36, 9}, -1, 1), b = array({1, 72});
    for (bool constant : {false, true}) {
      check_case(
          {.op = "LSTM",
           .attributes = {{"hidden_size", int64_t{9}}, {"direction", std::string(reverse ? "reverse" : "forward")}},
           .inputs = {f32_tensor(x), f32_tensor(w), f32_tensor(r), f32_tensor(b)},
           .constant = {false, constant, constant, constant},
           .expected = lstm(x, w, r, b, reverse)});
    }
  }
}

}  // namespace
}  // namespace motet::ops::testing
