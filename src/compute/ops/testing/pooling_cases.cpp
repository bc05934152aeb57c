// Pools, with windows that stick out, and over whole planes.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

Attributes window(const Shape& kernel, const ConvParameters& p) {
  return {{"kernel_shape", kernel}, {"strides", p.strides}, {"pads", p.pads}};
}

// (sum of |x|^n over the window)^(1/n)
Array lp_pool(const Array& x, const Shape& kernel, const ConvParameters& p, double n) {
  const auto taps = static_cast<double>(elements(kernel));
  const Array mean = pool(map(x, [n](double v) { return std::pow(std::abs(v), n); }), kernel, p, false, true);
  return map(mean, [&](double v) { return std::pow(v * taps, 1 / n); });
}

void add_windows(Cases& cases, const Shape& in, const Shape& kernel, const ConvParameters& p) {
  const Array x = cases.array({2, 19, in[0], in[1]});
  const auto taps = static_cast<double>(elements(kernel));
  const Attributes attributes = window(kernel, p);
  cases.add({.op = "MaxPool",
             .attributes = attributes,
             .inputs = {f32_tensor(x)},
             .expected = pool(x, kernel, p, true, false)});
  for (bool padding : {false, true}) {
    Attributes counted = attributes;
    counted.emplace("count_include_pad", int64_t{padding});
    cases.add({.op = "AveragePool",
               .attributes = counted,
               .inputs = {f32_tensor(x)},
               .expected = pool(x, kernel, p, false, padding),
               .roundings = taps + 2,
               .floor = 2});
  }
  for (int64_t n : {1, 2, 3}) {
    Attributes of = attributes;
    of.emplace("p", n);
    cases.add({.op = "LpPool",
               .opset = 18,
               .attributes = of,
               .inputs = {f32_tensor(x)},
               .expected = lp_pool(x, kernel, p, static_cast<double>(n)),
               .roundings = taps + 8});
  }
}

// The position of each maximum in the whole tensor is a second output.
void add_indices(Cases& cases) {
  const Array x = cases.array({2, 3, 6, 5});
  const ConvParameters p{{2, 2}, {1, 1}, {0, 0, 0, 0}, 1};
  const Array y = pool(x, {2, 2}, p, true, false);
  Array at = y;
  for_each_index(y.shape, [&](const Shape& o) {
    for (int64_t i = 0; i < 6; ++i)
      for (int64_t j = 0; j < 5; ++j)
        if (x.at({o[0], o[1], i, j}) == y.at(o) && i / 2 == o[2] && j / 2 == o[3])
          at.at(o) = static_cast<double>(((o[0] * 3 + o[1]) * 6 + i) * 5 + j);
  });
  cases.add({.op = "MaxPool",
             .attributes = window({2, 2}, p),
             .inputs = {f32_tensor(x)},
             .expected = y,
             .more = {{at, DType::kI64}}});
}

void add_global(Cases& cases) {
  for (const Shape& shape : {Shape{2, 20, 5, 5}, Shape{1, 16, 1, 1}, Shape{3, 7, 23, 31}}) {
    const Array x = cases.array(shape);
    const Shape kernel{shape[2], shape[3]};
    const ConvParameters p{{1, 1}, {1, 1}, {0, 0, 0, 0}, 1};
    const auto taps = static_cast<double>(shape[2] * shape[3]);
    cases.add({.op = "GlobalAveragePool",
               .inputs = {f32_tensor(x)},
               .expected = pool(x, kernel, p, false, false),
               .roundings = taps + 2,
               .floor = 2});
    cases.add({.op = "GlobalMaxPool", .inputs = {f32_tensor(x)}, .expected = pool(x, kernel, p, true, false)});
    cases.add(
        {.op = "GlobalLpPool", .inputs = {f32_tensor(x)}, .expected = lp_pool(x, kernel, p, 2), .roundings = taps + 8});
  }
}

}  // namespace

void add_pooling_cases(Cases& cases) {
  add_windows(cases, {7, 8}, {3, 2}, {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1});
  add_windows(cases, {7, 8}, {3, 2}, {{2, 2}, {1, 1}, {1, 1, 1, 1}, 1});
  add_windows(cases, {9, 9}, {3, 3}, {{2, 1}, {1, 1}, {2, 2, 2, 2}, 1});
  add_windows(cases, {4, 6}, {4, 1}, {{3, 2}, {1, 1}, {0, 0, 3, 0}, 1});
  add_windows(cases, {1, 5}, {1, 5}, {{1, 1}, {1, 1}, {0, 0, 0, 0}, 1});
  add_indices(cases);
  add_global(cases);
}

}  // namespace motet::ops::testing
