// Resize and Upsample: nearest and linear under the coordinate rules that exporters use.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Rule {
  const char* name;
  double (*source)(double at, double in, double out);
};
const Rule kRules[] = {
    {"half_pixel", [](double at, double in, double out) { return (at + 0.5) * in / out - 0.5; }},
    {"asymmetric", [](double at, double in, double out) { return at * in / out; }},
    {"align_corners", [](double at, double in, double out) { return out == 1 ? 0 : at * (in - 1) / (out - 1); }},
    {"pytorch_half_pixel", [](double at, double in, double out) { return out > 1 ? (at + 0.5) * in / out - 0.5 : 0; }},
};

Array resized(const Array& x, const Shape& to, const Rule& rule, bool linear) {
  Array y = Array::filled({x.shape[0], x.shape[1], to[0], to[1]}, 0);
  auto source = [&](int64_t at, size_t d) {
    return rule.source(static_cast<double>(at), static_cast<double>(x.shape[d]), static_cast<double>(to[d - 2]));
  };
  auto bounded = [&](double at, size_t d) {
    return static_cast<int64_t>(std::min(static_cast<double>(x.shape[d] - 1), std::max(0.0, at)));
  };
  for_each_index(y.shape, [&](const Shape& i) {
    const double h = source(i[2], 2), w = source(i[3], 3), h0 = std::floor(h), w0 = std::floor(w);
    auto sample = [&](double a, double b) { return x.at({i[0], i[1], bounded(a, 2), bounded(b, 3)}); };
    const double fh = h - h0, fw = w - w0;
    y.at(i) = !linear ? sample(h0, w0)
                      : (1 - fh) * ((1 - fw) * sample(h0, w0) + fw * sample(h0, w0 + 1)) +
                            fh * ((1 - fw) * sample(h0 + 1, w0) + fw * sample(h0 + 1, w0 + 1));
  });
  return y;
}

}  // namespace

void add_resize_cases(Cases& cases) {
  for (const Shape& to : {Shape{6, 8}, Shape{5, 9}, Shape{2, 2}, Shape{1, 1}}) {
    const Array x = cases.array({2, 19, 3, 4});
    const Tensor sizes = ints({2, 19, to[0], to[1]});
    for (const Rule& rule : kRules) {
      cases.add(
          {.op = "Resize",
           .opset = 13,
           .attributes = {{"mode", std::string("linear")}, {"coordinate_transformation_mode", std::string(rule.name)}},
           .inputs = {f32_tensor(x), Tensor(), Tensor(), sizes},
           .constant = {false, false, false, true},
           .expected = resized(x, to, rule, true),
           .roundings = 48,  // positions are rounded too
           .floor = 4});
    }
    cases.add({.op = "Resize",
               .opset = 13,
               .attributes = {{"coordinate_transformation_mode", std::string("asymmetric")},
                              {"nearest_mode", std::string("floor")}},
               .inputs = {f32_tensor(x), Tensor(), Tensor(), sizes},
               .constant = {false, false, false, true},
               .expected = resized(x, to, kRules[1], false)});
  }
  const Array x = cases.array({1, 16, 3, 4});
  const Tensor scales = f32_tensor({{4}, {1, 1, 2, 2}});
  for (const char* mode : {"nearest", "linear"}) {
    const bool linear = std::string_view(mode) == "linear";
    cases.add({.op = "Upsample",
               .opset = 9,
               .attributes = {{"mode", std::string(mode)}},
               .inputs = {f32_tensor(x), scales},
               .constant = {false, true},
               .expected = resized(x, {6, 8}, kRules[1], linear),
               .roundings = linear ? 16.0 : 0.0,
               .floor = 4});
  }
  const Array half = resized(x, {6, 8}, kRules[0], true);
  cases.add({.op = "Resize",
             .opset = 13,
             .attributes = {{"mode", std::string("linear")}},
             .inputs = {f32_tensor(x), Tensor(), scales},
             .constant = {false, false, true},
             .expected = half,
             .roundings = 16,
             .floor = 4});
}

}  // namespace motet::ops::testing
