// Attention, rotated positions, determinants and sums over named axes.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

Array scaled(const Array& x, double by) {
  return map(x, [by](double v) { return v * by; });
}

// The heads of `x` once for each of the query heads that share them.
Array repeated(const Array& x, int64_t times) {
  Shape shape = x.shape;
  shape[1] *= times;
  Array y = Array::filled(shape, 0);
  for_each_index(shape, [&](const Shape& i) { y.at(i) = x.at({i[0], i[1] / times, i[2], i[3]}); });
  return y;
}

struct Form {
  int64_t heads = 2, kv_heads = 2, past = 0;
  bool causal = false, masked = false;
};

void add_attention(Cases& cases, const Form& f) {
  constexpr int64_t kBatch = 2, kQueries = 5, kFresh = 5, kSize = 4, kValueSize = 3;
  const Array q = cases.array({kBatch, f.heads, kQueries, kSize});
  const Array k = cases.array({kBatch, f.kv_heads, kFresh, kSize}),
              v = cases.array({kBatch, f.kv_heads, kFresh, kValueSize});
  const Array past_k = cases.array({kBatch, f.kv_heads, f.past, kSize});
  const Array past_v = cases.array({kBatch, f.kv_heads, f.past, kValueSize});
  auto joined = [&](const Array& past, const Array& fresh) {
    Shape shape = fresh.shape;
    shape[2] += f.past;
    Array all = Array::filled(shape, 0);
    for_each_index(shape, [&](const Shape& i) {
      all.at(i) = i[2] < f.past ? past.at(i) : fresh.at({i[0], i[1], i[2] - f.past, i[3]});
    });
    return all;
  };
  const Array all_k = joined(past_k, k), all_v = joined(past_v, v);
  const Array mask = cases.array({kQueries, kFresh + f.past});
  const int64_t share = f.heads / f.kv_heads;
  Array scores = scaled(matmul(q, transpose(repeated(all_k, share), {0, 1, 3, 2})), 0.5);
  if (f.masked) scores = broadcast(scores, mask, plus);
  for_each_index(scores.shape, [&](const Shape& i) {
    if (f.causal && i[3] > i[2] + f.past) scores.at(i) = -1e30;
  });
  const Array weights = softmax(scores, 3, false);
  Case c{.op = "Attention",
         .opset = 23,
         .attributes = {{"is_causal", int64_t{f.causal}}},
         .inputs = {f32_tensor(q), f32_tensor(k), f32_tensor(v), Tensor()},
         .expected = matmul(weights, repeated(all_v, share)),
         .roundings = 60,
         .magnitude = matmul(weights, sizes_of(repeated(all_v, share)))};
  if (f.masked) c.inputs[3] = f32_tensor(mask);
  if (f.past > 0) {
    c.inputs.push_back(f32_tensor(past_k));
    c.inputs.push_back(f32_tensor(past_v));
    c.more = {{all_k, DType::kF32}, {all_v, DType::kF32}};
  }
  cases.add(std::move(c));
}

void add_rotary(Cases& cases, bool pairs) {
  const Array x = cases.array({2, 3, 4, 6}), cosine = cases.array({2, 4, 2}), sine = cases.array({2, 4, 2});
  Array y = x, size = sizes_of(x);
  for_each_index({2, 3, 4, 2}, [&](const Shape& i) {
    const Shape a = {i[0], i[1], i[2], pairs ? 2 * i[3] : i[3]},
                b = {i[0], i[1], i[2], pairs ? 2 * i[3] + 1 : i[3] + 2};
    const double c = cosine.at({i[0], i[2], i[3]}), s = sine.at({i[0], i[2], i[3]});
    y.at(a) = x.at(a) * c - x.at(b) * s;
    y.at(b) = x.at(a) * s + x.at(b) * c;
    size.at(a) = std::abs(x.at(a) * c) + std::abs(x.at(b) * s);
    size.at(b) = std::abs(x.at(a) * s) + std::abs(x.at(b) * c);
  });
  cases.add({.op = "RotaryEmbedding",
             .opset = 23,
             .attributes = {{"interleaved", int64_t{pairs}}, {"rotary_embedding_dim", int64_t{4}}},
             .inputs = {f32_tensor(x), f32_tensor(cosine), f32_tensor(sine)},
             .expected = y,
             .roundings = 3,
             .magnitude = size});
}

void add_einsum(Cases& cases, const std::string& equation, const std::vector<Array>& operands, const Array& y,
                const Array& size, double roundings) {
  Case c{
      .op = "Einsum", .attributes = {{"equation", equation}}, .expected = y, .roundings = roundings, .magnitude = size};
  for (const Array& operand : operands) c.inputs.push_back(f32_tensor(operand));
  cases.add(std::move(c));
}

void add_einsums(Cases& cases) {
  const Array a = cases.array({2, 3, 4}), b = cases.array({2, 4, 5}), square = cases.array({4, 4});
  const Array product = matmul(a, b), size = matmul(sizes_of(a), sizes_of(b));
  add_einsum(cases, "bij, bjk -> bik", {a, b}, product, size, 8);
  add_einsum(cases, "...ij,...jk", {a, b}, product, size, 8);
  add_einsum(cases, "bij->jbi", {a}, transpose(a, {2, 0, 1}), sizes_of(transpose(a, {2, 0, 1})), 0);
  Array diagonal = Array::filled({4}, 0), trace = Array::filled({}, 0);
  for (int64_t i = 0; i < 4; ++i) {
    diagonal.at({i}) = square.at({i, i});
    trace.at({}) += square.at({i, i});
  }
  add_einsum(cases, "ii->i", {square}, diagonal, sizes_of(diagonal), 0);
  add_einsum(cases, "ii", {square}, trace, Array::filled({}, 8), 4);
}

}  // namespace

void add_algebra_cases(Cases& cases) {
  for (bool causal : {false, true}) {
    add_attention(cases, {.causal = causal});
    add_attention(cases, {.heads = 6, .kv_heads = 2, .causal = causal, .masked = true});
    add_attention(cases, {.heads = 4, .kv_heads = 1, .past = 3, .causal = causal, .masked = true});
  }
  add_rotary(cases, false);
  add_rotary(cases, true);
  add_einsums(cases);
  const Array m = cases.array({5, 3, 3});
  Array y = Array::filled({5}, 0);
  for (int64_t n = 0; n < 5; ++n)
    for (int64_t c = 0; c < 3; ++c)
      y.at({n}) += m.at({n, 0, c}) * (m.at({n, 1, (c + 1) % 3}) * m.at({n, 2, (c + 2) % 3}) -
                                      m.at({n, 1, (c + 2) % 3}) * m.at({n, 2, (c + 1) % 3}));
  cases.add({.op = "Det", .inputs = {f32_tensor(m)}, .expected = y, .roundings = 2, .floor = 1});
}

}  // namespace motet::ops::testing
