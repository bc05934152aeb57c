// Ops whose operands say where elements lie: gathers, scatters, one-hot vectors, reversed sequences; and ops that
// refuse, since their results' extents depend on data.
#include <algorithm>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kI64, DType::kU8, DType::kF16};
constexpr DType kIndexTypes[] = {DType::kI32, DType::kI64};

// An index that may count from the end.
int64_t wrapped(double at, int64_t n) { return static_cast<int64_t>(at) + (at < 0 ? n : 0); }

void add(Cases& cases, const std::string& op, const Attributes& attributes, const Array& x, const Array& indices,
         const Array* updates, const Array& y) {
  for (DType type : kTypes) {
    for (DType index_type : kIndexTypes) {
      Case c{.op = op,
             .attributes = attributes,
             .inputs = {tensor_of(type, x), tensor_of(index_type, indices)},
             .expected = y,
             .dtype = type};
      if (updates != nullptr) c.inputs.push_back(tensor_of(type, *updates));
      cases.add(std::move(c));
    }
  }
}

void add_gathers(Cases& cases) {
  for (size_t axis = 0; axis < 3; ++axis) {
    const Array x = cases.integers({5, 6, 7}, 0, 200);
    const int64_t n = x.shape[axis];
    const Array indices = cases.integers({2, 3}, -n, n - 1);
    Shape shape(x.shape.begin(), x.shape.begin() + static_cast<std::ptrdiff_t>(axis));
    shape.insert(shape.end(), {2, 3});
    shape.insert(shape.end(), x.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.shape.end());
    Array y = Array::filled(shape, 0);
    for_each_index(shape, [&](const Shape& i) {
      Shape from(i.begin(), i.begin() + static_cast<std::ptrdiff_t>(axis));
      from.push_back(wrapped(indices.at({i[axis], i[axis + 1]}), n));
      from.insert(from.end(), i.begin() + static_cast<std::ptrdiff_t>(axis) + 2, i.end());
      y.at(i) = x.at(from);
    });
    const Attributes attributes{{"axis", static_cast<int64_t>(axis)}};
    add(cases, "Gather", attributes, x, indices, nullptr, y);

    Shape small{3, 4, 5};
    const Array each = cases.integers(small, -n, n - 1), updates = cases.integers(small, 0, 99);
    auto place = [&](const Shape& i) {
      Shape at = i;
      at[axis] = wrapped(each.at(i), n);
      return at;
    };
    Array picked = Array::filled(small, 0), scattered = x;
    for_each_index(small, [&](const Shape& i) {
      picked.at(i) = x.at(place(i));
      scattered.at(place(i)) = updates.at(i);
    });
    add(cases, "GatherElements", attributes, x, each, nullptr, picked);
    // The order in which one place is written twice is not defined: distinct places only.
    Array distinct = each;
    for_each_index(small, [&](const Shape& i) { distinct.at(i) = static_cast<double>(i[axis] * (n / small[axis])); });
    scattered = x;
    for_each_index(small, [&](const Shape& i) {
      Shape at = i;
      at[axis] = static_cast<int64_t>(distinct.at(i));
      scattered.at(at) = updates.at(i);
    });
    add(cases, "ScatterElements", attributes, x, distinct, &updates, scattered);
    add(cases, "Scatter", attributes, x, distinct, &updates, scattered);
    Array added = x;
    for_each_index(small, [&](const Shape& i) { added.at(place(i)) += updates.at(i); });
    cases.add({.op = "ScatterElements",
               .opset = 18,
               .attributes = {{"axis", static_cast<int64_t>(axis)}, {"reduction", std::string("add")}},
               .inputs = {f32_tensor(x), tensor_of(DType::kI64, each), f32_tensor(updates)},
               .expected = added});
  }
  const Array table = cases.array({40, 96}), rows = cases.integers({1500}, 0, 39);  // an embedding
  Array y = Array::filled({1500, 96}, 0);
  for_each_index(y.shape, [&](const Shape& i) { y.at(i) = table.at({static_cast<int64_t>(rows.at({i[0]})), i[1]}); });
  cases.add({.op = "Gather",
             .inputs = {f32_tensor(table), tensor_of(DType::kI64, rows)},
             .constant = {true, false},
             .expected = y});
}

void add_tuples(Cases& cases) {
  const Array x = cases.integers({4, 5, 3}, 0, 200);
  Array at = Array::filled({6, 2}, 0);
  for (int64_t i = 0; i < 6; ++i) {
    at.at({i, 0}) = static_cast<double>(i % 4);
    at.at({i, 1}) = static_cast<double>(i % 5) - (i % 2 == 0 ? 5 : 0);
  }
  const Array updates = cases.integers({6, 3}, 0, 99);
  Array picked = Array::filled({6, 3}, 0), scattered = x, added = x;
  for_each_index(picked.shape, [&](const Shape& i) {
    const Shape from{wrapped(at.at({i[0], 0}), 4), wrapped(at.at({i[0], 1}), 5), i[1]};
    picked.at(i) = x.at(from);
    scattered.at(from) = updates.at(i);
    added.at(from) += updates.at(i);
  });
  const Tensor indices = tensor_of(DType::kI64, at);
  for (DType type : kTypes) {
    cases.add({.op = "GatherND", .inputs = {tensor_of(type, x), indices}, .expected = picked, .dtype = type});
    cases.add({.op = "ScatterND",
               .opset = 18,
               .inputs = {tensor_of(type, x), indices, tensor_of(type, updates)},
               .expected = scattered,
               .dtype = type});
  }
  cases.add({.op = "ScatterND",
             .opset = 18,
             .attributes = {{"reduction", std::string("add")}},
             .inputs = {f32_tensor(x), indices, f32_tensor(updates)},
             .expected = added});
  const Array per_batch = cases.integers({4, 1}, -5, 4);
  Array rows = Array::filled({4, 3}, 0);
  for_each_index(rows.shape,
                 [&](const Shape& i) { rows.at(i) = x.at({i[0], wrapped(per_batch.at({i[0], 0}), 5), i[1]}); });
  cases.add({.op = "GatherND",
             .attributes = {{"batch_dims", int64_t{1}}},
             .inputs = {f32_tensor(x), tensor_of(DType::kI64, per_batch)},
             .expected = rows});
}

void add_sequences(Cases& cases) {
  const Array x = cases.integers({5, 3, 4}, 0, 99), lengths = cases.integers({3}, 0, 5);
  Array y = x;
  for_each_index(x.shape, [&](const Shape& i) {
    const auto n = static_cast<int64_t>(lengths.at({i[1]}));
    y.at(i) = x.at({i[0] < n ? n - 1 - i[0] : i[0], i[1], i[2]});
  });
  for (DType type : kTypes)
    cases.add({.op = "ReverseSequence",
               .inputs = {tensor_of(type, x), tensor_of(DType::kI64, lengths)},
               .expected = y,
               .dtype = type});
  const Array labels = cases.integers({4, 3}, -6, 5);
  Array hot = Array::filled({4, 6, 3}, 2);
  for_each_index(hot.shape, [&](const Shape& i) {
    if (wrapped(labels.at({i[0], i[2]}), 6) == i[1]) hot.at(i) = 9;
  });
  cases.add({.op = "OneHot",
             .attributes = {{"axis", int64_t{1}}},
             .inputs = {tensor_of(DType::kI64, labels), scalar(DType::kI64, 6), f32_tensor({{2}, {2, 9}})},
             .constant = {false, true},
             .expected = hot});
}

void add_refused(Cases& cases) {
  const Array x = cases.integers({6}, 0, 1);
  for (const char* op : {"NonZero", "Unique", "Compress", "NonMaxSuppression"})
    cases.add({.op = op, .inputs = {f32_tensor(x), tensor_of(DType::kBool, x)}, .expected = x, .refused = true});
}

void add_caches(Cases& cases) {
  for (bool circular : {false, true}) {
    const Array cache = cases.integers({2, 3, 6, 4}, 0, 200), update = cases.integers({2, 3, 2, 4}, 0, 200);
    const int64_t places[2] = {circular ? 5 : 4, 1};
    Array y = cache;
    for_each_index(update.shape,
                   [&](const Shape& i) { y.at({i[0], i[1], (places[i[0]] + i[2]) % 6, i[3]}) = update.at(i); });
    cases.add({.op = "TensorScatter",
               .opset = 24,
               .attributes = {{"mode", std::string(circular ? "circular" : "linear")}},
               .inputs = {f32_tensor(cache), f32_tensor(update), ints({places[0], places[1]})},
               .expected = y});
  }
  // 1.0 has the bits 0x3f800000, -2.0 those of -2^30.
  cases.add({.op = "BitCast",
             .opset = 26,
             .attributes = {{"to", int64_t{6}}},
             .inputs = {f32_tensor({{3}, {0, 1, -2}})},
             .expected = {{3}, {0, 0x3f800000, -1073741824}},
             .dtype = DType::kI32});
}

}  // namespace

void add_index_cases(Cases& cases) {
  add_caches(cases);
  add_gathers(cases);
  add_tuples(cases);
  add_sequences(cases);
  add_refused(cases);
}

}  // namespace motet::ops::testing
