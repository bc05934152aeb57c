// Attention over operands that lie every way the graph pass may find them: by heads, side by side in one product,
// turned keys, masks with broadcast extents, causal and padded ones, rows masked out altogether.
#include <limits>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Extents {
  int64_t batch, heads, rows, keys, depth, width;
};

// How one operand lies: its shape as a tensor, and offset and strides of (batch, head, row, column).
struct Form {
  Shape shape, strides;
};

// [batch, heads, rows, columns]
Form by_heads(const Extents& e, int64_t rows, int64_t columns) {
  return {{e.batch, e.heads, rows, columns}, {0, e.heads * rows * columns, rows * columns, columns, 1}};
}
// [batch, rows, many * heads * columns], of which this is the `which`-th.
Form side_by_side(const Extents& e, int64_t rows, int64_t columns, int64_t many, int64_t which) {
  const int64_t all = many * e.heads * columns;
  return {{e.batch, rows, all}, {which * e.heads * columns, rows * all, columns, all, 1}};
}
// [batch, heads, columns, rows]
Form turned(const Extents& e, int64_t rows, int64_t columns) {
  return {{e.batch, e.heads, columns, rows}, {0, e.heads * rows * columns, rows * columns, 1, rows}};
}

double element(const Array& a, const Shape& s, int64_t b, int64_t h, int64_t r, int64_t c) {
  return a.values[static_cast<size_t>(s[0] + b * s[1] + h * s[2] + r * s[3] + c * s[4])];
}

struct Operands {
  Array q, k, v, mask;
  Form q_form, k_form, v_form, mask_form, out_form;
  bool masked = false, zero_masked = false;
  float scale = 0.25f;
};

Array attend(const Extents& e, const Operands& o) {
  Array y = Array::filled(o.out_form.shape, 0);
  for_each_index({e.batch, e.heads, e.rows}, [&](const Shape& i) {
    std::vector<double> weights;
    double top = -std::numeric_limits<double>::infinity(), total = 0;
    for (int64_t l = 0; l < e.keys; ++l) {
      double score = 0;
      for (int64_t d = 0; d < e.depth; ++d)
        score += element(o.q, o.q_form.strides, i[0], i[1], i[2], d) * element(o.k, o.k_form.strides, i[0], i[1], l, d);
      score = score * o.scale + (o.masked ? element(o.mask, o.mask_form.strides, i[0], i[1], i[2], l) : 0);
      weights.push_back(score);
      top = std::max(top, score);
    }
    for (double& w : weights) total += w = std::exp(w - top);
    const Shape& s = o.out_form.strides;
    for (int64_t c = 0; c < e.width; ++c) {
      double sum = 0;
      for (int64_t l = 0; l < e.keys; ++l)
        sum += weights[static_cast<size_t>(l)] / total * element(o.v, o.v_form.strides, i[0], i[1], l, c);
      if (o.zero_masked && std::isnan(sum)) sum = 0;
      y.values[static_cast<size_t>(s[0] + i[0] * s[1] + i[1] * s[2] + i[2] * s[3] + c * s[4])] = sum;
    }
  });
  return y;
}

void add(Cases& cases, const Extents& e, const Operands& o) {
  Case c{.op = "Attention",
         .domain = "motet",
         .opset = 1,
         .attributes = {{"extents", Shape{e.batch, e.heads, e.rows, e.keys, e.depth, e.width}},
                        {"q", o.q_form.strides},
                        {"k", o.k_form.strides},
                        {"v", o.v_form.strides},
                        {"out", o.out_form.strides},
                        {"shape", o.out_form.shape},
                        {"scale", o.scale},
                        {"zero_masked", int64_t{o.zero_masked}}},
         .inputs = {f32_tensor(o.q), f32_tensor(o.k), f32_tensor(o.v)},
         .expected = attend(e, o),
         .roundings = static_cast<double>(4 * e.depth + 2 * e.keys) + 32,
         .floor = 2};
  if (o.masked) {
    c.inputs.push_back(f32_tensor(o.mask));
    c.attributes.emplace("mask", o.mask_form.strides);
  }
  cases.add(std::move(c));
}

// Every way of lying, for these extents.
void add_forms(Cases& cases, const Extents& e) {
  auto operands = [&](Form q, Form k, Form v, Form out) {
    Operands o;
    o.q = cases.array(q.shape);
    o.k = cases.array(k.shape);
    o.v = cases.array(v.shape);
    o.q_form = std::move(q);
    o.k_form = std::move(k);
    o.v_form = std::move(v);
    o.out_form = std::move(out);
    return o;
  };
  const Form q = by_heads(e, e.rows, e.depth), k = by_heads(e, e.keys, e.depth), v = by_heads(e, e.keys, e.width);
  const Form out = side_by_side(e, e.rows, e.width, 1, 0);
  add(cases, e, operands(q, k, v, by_heads(e, e.rows, e.width)));
  add(cases, e, operands(q, turned(e, e.keys, e.depth), v, out));
  Operands o = operands(side_by_side(e, e.rows, e.depth, 3, 0), side_by_side(e, e.keys, e.depth, 3, 1),
                        side_by_side(e, e.keys, e.width, 3, 2), out);
  add(cases, e, o);
  o.masked = true;
  for (const auto& [shape, strides] :
       {std::pair<Shape, Shape>{{e.batch, 1, e.rows, e.keys}, {0, e.rows * e.keys, 0, e.keys, 1}},
        {{e.rows, e.keys}, {0, 0, 0, e.keys, 1}},
        {{e.batch, 1, 1, e.keys}, {0, e.keys, 0, 0, 1}},
        {{e.heads, e.rows, 1}, {0, 0, e.rows, 1, 0}}}) {
    o.mask_form = {shape, strides};
    o.mask = cases.array(shape);
    if (shape.back() == e.keys && e.keys > 1) {
      for (size_t i = 0; i < o.mask.values.size(); i += 2) o.mask.values[i] = -std::numeric_limits<double>::infinity();
    }
    add(cases, e, o);
  }
  // Causal, with what exporters write for "never"; and padded behind the first third of the keys.
  o.mask_form = {{e.rows, e.keys}, {0, 0, 0, e.keys, 1}};
  for (const double never : {-std::numeric_limits<double>::infinity(), -3.4028234663852886e38}) {
    o.mask = Array::filled({e.rows, e.keys}, 0);
    for_each_index({e.rows, e.keys}, [&](const Shape& i) {
      if (i[1] > i[0]) o.mask.values[static_cast<size_t>(i[0] * e.keys + i[1])] = never;
    });
    add(cases, e, o);
    o.mask = Array::filled({e.rows, e.keys}, 0);
    for_each_index({e.rows, e.keys}, [&](const Shape& i) {
      if (i[1] > e.keys / 3) o.mask.values[static_cast<size_t>(i[0] * e.keys + i[1])] = never;
    });
    add(cases, e, o);
  }
  // The first query sees nothing.
  o.mask_form = {{e.rows, e.keys}, {0, 0, 0, e.keys, 1}};
  o.mask = Array::filled({e.rows, e.keys}, 0);
  std::fill_n(o.mask.values.begin(), e.keys, -std::numeric_limits<double>::infinity());
  for (bool zero : {false, true}) {
    o.zero_masked = zero;
    add(cases, e, o);
  }
}

}  // namespace

void add_fused_attention_cases(Cases& cases) {
  const Extents list[] = {{2, 3, 17, 17, 16, 16},   {1, 2, 1, 33, 64, 64}, {2, 2, 50, 21, 20, 12},
                          {1, 1, 100, 130, 32, 48}, {1, 4, 2, 5, 8, 8},    {1, 1, 1, 1, 1, 1},
                          {3, 1, 49, 1, 5, 3},      {1, 2, 5, 64, 64, 64}};
  for (const Extents& e : list) add_forms(cases, e);
}

}  // namespace motet::ops::testing
