// Normalisations and softmaxes, over the last extents, inner ones, channels and groups.
#include <limits>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

constexpr double kEpsilon = 1e-5f;

void add_softmaxes(Cases& cases) {
  for (const Shape& shape : {Shape{3, 5, 70, 2}, Shape{2, 4, 33, 47}, Shape{1, 1, 1, 1}, Shape{4, 3000}, Shape{7}}) {
    const Array x = cases.array(shape, -20, 20);
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const auto n = static_cast<double>(shape[axis]);
      for (bool log : {false, true}) {
        cases.add({.op = log ? "LogSoftmax" : "Softmax",
                   .attributes = {{"axis", static_cast<int64_t>(axis)}},
                   .inputs = {f32_tensor(x)},
                   .expected = softmax(x, axis, log),
                   .roundings = n + 16,
                   .floor = log ? 40.0 : 1.0});
      }
      Array top = map(x, [](double) { return 0.0; });
      Array best = reduce(x, one_axis(shape.size(), axis), -1e30, [](double a, double v) { return std::max(a, v); });
      for_each_index(x.shape, [&](const Shape& i) {
        Shape at = i;
        at[axis] = 0;
        if (x.at(i) == best.at(at)) {
          top.at(i) = 1;
          best.at(at) = 1e30;  // the first of equals only
        }
      });
      cases.add({.op = "Hardmax",
                 .attributes = {{"axis", static_cast<int64_t>(axis)}},
                 .inputs = {f32_tensor(x)},
                 .expected = top});
    }
  }
  // Before opset 13 everything from the axis on is one row.
  const Array x = cases.array({3, 5, 70, 2}, -8, 8);
  Array flat = x;
  flat.shape = {3, 700};
  Array y = softmax(flat, 1, false);
  y.shape = x.shape;
  cases.add({.op = "Softmax", .opset = 11, .inputs = {f32_tensor(x)}, .expected = y, .roundings = 720, .floor = 1});
  // A mask of minus infinity, as attention has it.
  Array masked = cases.array({6, 40}, -3, 3);
  for (size_t i = 0; i < masked.values.size(); ++i)
    if (i % 40 > 10 + i / 40) masked.values[i] = -std::numeric_limits<double>::infinity();
  cases.add({.op = "Softmax",
             .inputs = {f32_tensor(masked)},
             .expected = softmax(masked, 1, false),
             .roundings = 60,
             .floor = 1});
}

void add_layer_norms(Cases& cases) {
  const std::pair<Shape, size_t> list[] = {
      {{2, 20, 3, 5}, 2}, {{7, 96}, 1}, {{3, 1}, 1}, {{2, 3, 1000}, 2}, {{40, 5, 48}, 2}};
  for (const auto& [shape, axis] : list) {
    const Shape inner(shape.begin() + static_cast<std::ptrdiff_t>(axis), shape.end());
    const Array x = cases.array(shape), scale = cases.array(inner), shift = cases.array(inner);
    const auto n = static_cast<double>(elements(inner));
    for (bool constant : {false, true}) {
      cases.add({.op = "LayerNormalization",
                 .attributes = {{"axis", static_cast<int64_t>(axis)}},
                 .inputs = {f32_tensor(x), f32_tensor(scale), f32_tensor(shift)},
                 .constant = {false, constant, constant},
                 .expected = layer_norm(x, axis, scale, shift, kEpsilon),
                 .roundings = n + 16,
                 .floor = 8});
    }
    std::vector<bool> axes(shape.size());
    for (size_t d = axis; d < shape.size(); ++d) axes[d] = true;
    const Array square =
        map(reduce(map(x, [](double v) { return v * v; }), axes, 0, plus), [n](double v) { return v / n; });
    const Array unit = broadcast(x, square, [](double v, double s) { return v / std::sqrt(s + kEpsilon); });
    for (const char* op : {"RMSNormalization", "SimplifiedLayerNormalization"}) {
      cases.add({.op = op,
                 .opset = 23,
                 .attributes = {{"axis", static_cast<int64_t>(axis)}},
                 .inputs = {f32_tensor(x), f32_tensor(scale)},
                 .expected = broadcast(unit, scale, [](double v, double s) { return v * s; }),
                 .roundings = n + 16});
    }
  }
  const Array x = cases.array({6, 40});
  const Array mean = map(reduce(x, {false, true}, 0, plus), [](double v) { return v / 40; });
  const Array centred = broadcast(x, mean, [](double v, double m) { return v - m; });
  const Array variance = map(reduce(map(centred, [](double v) { return v * v; }), {false, true}, 0, plus),
                             [](double v) { return v / 40; });
  const Array one = Array::filled({40}, 1);
  cases.add({.op = "LayerNormalization",
             .inputs = {f32_tensor(x), f32_tensor(one)},
             .expected = layer_norm(x, 1, one, Array::filled({40}, 0), kEpsilon),
             .more = {{mean}, {map(variance, [](double v) { return 1 / std::sqrt(v + kEpsilon); })}},
             .roundings = 60,
             .floor = 3});
}

// x normalised over groups of `each` channels with all their positions.
Array grouped(const Array& x, int64_t each) {
  const int64_t batch = x.shape[0], channels = x.shape[1], plane = elements(x.shape) / (batch * channels);
  Array flat = x;
  flat.shape = {batch * channels / each, each * plane};
  const Array one = Array::filled({each * plane}, 1), zero = Array::filled({each * plane}, 0);
  Array y = layer_norm(flat, 1, one, zero, kEpsilon);
  y.shape = x.shape;
  return y;
}

std::vector<double> spread(const std::vector<double>& values, size_t times) {
  std::vector<double> all;
  for (double v : values) all.insert(all.end(), times, v);
  return all;
}

void add_channel_norms(Cases& cases) {
  for (const Shape& shape : {Shape{2, 20, 3, 5}, Shape{3, 20, 9}, Shape{1, 20, 1, 1}, Shape{3, 20}}) {
    const Array x = cases.array(shape), gamma = cases.array({20}), beta = cases.array({20});
    const Array mean = cases.array({20}), variance = cases.array({20}, 0.5, 2);
    std::vector<double> a, b;
    for (size_t c = 0; c < 20; ++c) {
      a.push_back(gamma.values[c] / std::sqrt(variance.values[c] + kEpsilon));
      b.push_back(beta.values[c] - mean.values[c] * a.back());
    }
    for (bool constant : {false, true}) {
      cases.add({.op = "BatchNormalization",
                 .inputs = {f32_tensor(x), f32_tensor(gamma), f32_tensor(beta), f32_tensor(mean), f32_tensor(variance)},
                 .constant = {false, constant, constant, constant, constant},
                 .expected = channel_affine(x, a, b),
                 .roundings = 8,
                 .floor = 16});
    }
    if (shape.size() < 3) continue;
    const auto plane = static_cast<double>(elements(shape) / shape[0] / 20);
    cases.add({.op = "InstanceNormalization",
               .inputs = {f32_tensor(x), f32_tensor(gamma), f32_tensor(beta)},
               .expected = channel_affine(grouped(x, 1), gamma.values, beta.values),
               .roundings = plane + 16,
               .floor = plane == 1 ? 4 / std::sqrt(kEpsilon) : 16});  // one position has no variance
    const Array few = cases.array({5}), shift = cases.array({5});
    cases.add({.op = "GroupNormalization",
               .opset = 18,
               .attributes = {{"num_groups", int64_t{5}}},
               .inputs = {f32_tensor(x), f32_tensor(few), f32_tensor(shift)},
               .expected = channel_affine(grouped(x, 4), spread(few.values, 4), spread(shift.values, 4)),
               .roundings = 4 * plane + 16,
               .floor = 16});
    cases.add({.op = "GroupNormalization",
               .opset = 21,
               .attributes = {{"num_groups", int64_t{5}}},
               .inputs = {f32_tensor(x), f32_tensor(gamma), f32_tensor(beta)},
               .expected = channel_affine(grouped(x, 4), gamma.values, beta.values),
               .roundings = 4 * plane + 16,
               .floor = 16});
  }
}

// Whole blocks of channels, and groups smaller and larger than a block.
void add_group_norms(Cases& cases) {
  for (const auto& [shape, groups] :
       {std::pair<Shape, int64_t>{{2, 32, 9, 33}, 8}, {{1, 64, 3, 5}, 2}, {{1, 16, 20, 20}, 1}}) {
    const Array x = cases.array(shape, 2, 4), gamma = cases.array({shape[1]}), beta = cases.array({shape[1]});
    const int64_t each = shape[1] / groups;
    cases.add({.op = "GroupNormalization",
               .opset = 21,
               .attributes = {{"num_groups", groups}},
               .inputs = {f32_tensor(x), f32_tensor(gamma), f32_tensor(beta)},
               .expected = channel_affine(grouped(x, each), gamma.values, beta.values),
               .roundings = static_cast<double>(each * shape[2] * shape[3]) + 16,
               .floor = 16});
  }
}

void add_local_norms(Cases& cases) {
  const Array x = cases.array({2, 9, 4, 3});
  for (int64_t size : {3, 5}) {
    Array y = x;
    for_each_index(x.shape, [&](const Shape& i) {
      double sum = 0;
      for (int64_t c = i[1] - (size - 1) / 2; c <= i[1] + size / 2; ++c)
        if (c >= 0 && c < 9) sum += x.at({i[0], c, i[2], i[3]}) * x.at({i[0], c, i[2], i[3]});
      y.at(i) = x.at(i) / std::pow(1.0f + 0.5f / static_cast<double>(size) * sum, 0.75);
    });
    cases.add({.op = "LRN",
               .attributes = {{"size", size}, {"alpha", 0.5f}},
               .inputs = {f32_tensor(x)},
               .expected = y,
               .roundings = 32});
  }
  for (size_t axis : {size_t{1}, size_t{3}}) {
    for (int64_t p : {1, 2}) {
      const std::vector<bool> axes = one_axis(4, axis);
      const Array total = p == 1 ? reduce(sizes_of(x), axes, 0, plus)
                                 : map(reduce(map(x, [](double v) { return v * v; }), axes, 0, plus),
                                       [](double v) { return std::sqrt(v); });
      cases.add({.op = "LpNormalization",
                 .attributes = {{"axis", static_cast<int64_t>(axis)}, {"p", p}},
                 .inputs = {f32_tensor(x)},
                 .expected = broadcast(x, total, [](double v, double s) { return v / s; }),
                 .roundings = 16});
    }
  }
}

}  // namespace

void add_norm_cases(Cases& cases) {
  add_softmaxes(cases);
  add_layer_norms(cases);
  add_channel_norms(cases);
  add_group_norms(cases);
  add_local_norms(cases);
}

}  // namespace motet::ops::testing
