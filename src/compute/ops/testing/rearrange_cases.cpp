// Ops that move elements without looking at them, change their type, or make them from nothing.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kI64, DType::kU8, DType::kF16};

// The element of `shape`'s index that `from` tells, for each index of the result.
template <class F>
Array moved(const Array& x, const Shape& shape, F from) {
  Array y = Array::filled(shape, 0);
  for_each_index(shape, [&](const Shape& i) { y.at(i) = x.at(from(i)); });
  return y;
}

// The same node for elements of every size.
void add(Cases& cases, const Case& c, const Array& x, const Array& y) {
  for (DType type : kTypes) {
    Case typed = c;
    typed.inputs.insert(typed.inputs.begin(), tensor_of(type, x));
    typed.expected = y;
    typed.dtype = type;
    cases.add(std::move(typed));
  }
}

void add_copies(Cases& cases) {
  const Array x = cases.integers({2, 3, 4}, 0, 99);
  auto as = [&](Shape shape) {
    Array y = x;
    y.shape = std::move(shape);
    return y;
  };
  add(cases, {.op = "Identity"}, x, x);
  add(cases, {.op = "Dropout"}, x, x);
  add(cases, {.op = "Flatten", .attributes = {{"axis", int64_t{2}}}}, x, as({6, 4}));
  add(cases, {.op = "Reshape", .inputs = {ints({4, -1})}, .constant = {false, true}}, x, as({4, 6}));
  add(cases, {.op = "Unsqueeze", .inputs = {ints({1, 4})}, .constant = {false, true}}, x, as({2, 1, 3, 4, 1}));
  const Array narrow = cases.integers({2, 1, 5, 1}, 0, 99);
  Array squeezed = narrow;
  squeezed.shape = {2, 5};
  add(cases, {.op = "Squeeze", .inputs = {ints({1, 3})}, .constant = {false, true}}, narrow, squeezed);
}

void add_transposes(Cases& cases) {
  const std::pair<Shape, std::vector<size_t>> list[] = {{{2, 16, 3, 5}, {0, 2, 3, 1}},
                                                        {{2, 20, 3, 5}, {0, 2, 3, 1}},
                                                        {{2, 19, 3, 5}, {3, 2, 1, 0}},
                                                        {{2, 3, 5, 24}, {0, 3, 1, 2}},
                                                        {{2, 70, 65}, {0, 2, 1}},
                                                        {{2, 70, 65}, {2, 1, 0}},
                                                        {{1, 9, 12, 64}, {0, 2, 1, 3}},
                                                        {{1, 9, 12, 64}, {0, 2, 3, 1}},
                                                        {{130, 140}, {1, 0}},
                                                        {{0, 3}, {1, 0}},
                                                        {{2, 3, 1, 4, 2}, {4, 0, 3, 1, 2}}};
  for (const auto& [shape, order] : list) {
    const Array x = cases.integers(shape, 0, 200);
    add(cases, {.op = "Transpose", .attributes = {{"perm", Shape(order.begin(), order.end())}}}, x,
        transpose(x, order));
  }
}

void add_shuffles(Cases& cases) {
  for (const auto& [channels, groups] : {std::pair<int64_t, int64_t>{32, 2}, {58, 2}, {12, 3}, {16, 16}, {5, 1}}) {
    const Array x = cases.integers({2, channels, 3, 5}, 0, 200);
    const int64_t each = channels / groups;
    add(cases, {.op = "ChannelShuffle", .domain = "motet", .opset = 1, .attributes = {{"groups", groups}}}, x,
        moved(x, x.shape, [&](Shape i) {
          i[1] = i[1] % groups * each + i[1] / groups;
          return i;
        }));
  }
}

void add_joins(Cases& cases) {
  for (const auto& [axis, sizes] :
       {std::pair<size_t, Shape>{1, {16, 32}}, {1, {16, 7, 1}}, {3, {4, 5}}, {0, {1, 0, 2}}}) {
    std::vector<Array> parts;
    Shape shape{2, 16, 3, 5};
    shape[axis] = 0;
    for (int64_t size : sizes) {
      Shape own = shape;
      own[axis] = size;
      parts.push_back(cases.integers(own, 0, 200));
    }
    for (int64_t size : sizes) shape[axis] += size;
    Array y = Array::filled(shape, 0);
    int64_t start = 0;
    for (const Array& part : parts) {
      for_each_index(part.shape, [&](Shape i) {
        const double v = part.at(i);
        i[axis] += start;
        y.at(i) = v;
      });
      start += part.shape[axis];
    }
    for (DType type : kTypes) {
      Case joined{.op = "Concat", .attributes = {{"axis", static_cast<int64_t>(axis)}}, .expected = y, .dtype = type};
      for (const Array& part : parts) joined.inputs.push_back(tensor_of(type, part));
      cases.add(joined);
      Case cut{.op = "Split",
               .attributes = {{"axis", static_cast<int64_t>(axis)}},
               .inputs = {tensor_of(type, y), ints(sizes)},
               .constant = {false, true},
               .expected = parts[0],
               .dtype = type};
      for (size_t i = 1; i < parts.size(); ++i) cut.more.push_back({parts[i], type});
      cases.add(cut);
    }
  }
}

void add_views(Cases& cases) {
  const Array row = cases.integers({3, 1, 5}, 0, 99);
  add(cases, {.op = "Expand", .inputs = {ints({2, 1, 4, 5})}, .constant = {false, true}}, row,
      moved(row, {2, 3, 4, 5}, [](const Shape& i) { return Shape{i[1], 0, i[3]}; }));
  add(cases, {.op = "Tile", .inputs = {ints({1, 3, 2})}, .constant = {false, true}}, row,
      moved(row, {3, 3, 10}, [](const Shape& i) { return Shape{i[0], 0, i[2] % 5}; }));
  const Array x = cases.integers({2, 9, 4, 6}, 0, 200);
  add(cases,
      {.op = "Slice",
       .inputs = {ints({7, 1}), ints({-100, 100}), ints({1, 3}), ints({-2, 3})},
       .constant = {false, true, true, true, true}},
      x, moved(x, {2, 4, 4, 2}, [](const Shape& i) { return Shape{i[0], 7 - 2 * i[1], i[2], 1 + 3 * i[3]}; }));
  add(cases, {.op = "Slice", .inputs = {ints({5}), ints({5}), ints({1})}, .constant = {false, true, true, true}}, x,
      Array::filled({2, 0, 4, 6}, 0));
  for (int64_t channels : {3, 32}) {
    const Array deep = cases.integers({2, channels * 4, 3, 2}, 0, 200);
    for (const char* mode : {"DCR", "CRD"}) {
      const bool column_first = mode[0] == 'C';
      add(cases, {.op = "DepthToSpace", .attributes = {{"blocksize", int64_t{2}}, {"mode", std::string(mode)}}}, deep,
          moved(deep, {2, channels, 6, 4}, [&](const Shape& i) {
            const int64_t h = i[2] % 2, w = i[3] % 2;
            return Shape{i[0], column_first ? i[1] * 4 + h * 2 + w : (h * 2 + w) * channels + i[1], i[2] / 2, i[3] / 2};
          }));
    }
  }
  add(cases, {.op = "SpaceToDepth", .attributes = {{"blocksize", int64_t{2}}}}, x,
      moved(x, {2, 36, 2, 3},
            [](const Shape& i) { return Shape{i[0], i[1] % 9, i[2] * 2 + i[1] / 18, i[3] * 2 + i[1] / 9 % 2}; }));
}

void add_pads(Cases& cases) {
  const Array x = cases.integers({3, 5, 4}, 1, 99);
  auto around = [](int64_t at, int64_t n, char mode) -> int64_t {
    if (at >= 0 && at < n) return at;
    if (mode == 'e') return at < 0 ? 0 : n - 1;
    if (mode == 'w') return (at % n + n) % n;
    return at < 0 ? -at : 2 * (n - 1) - at;
  };
  for (const char* mode : {"constant", "reflect", "edge", "wrap"}) {
    Array y = Array::filled({3, 8, 9}, mode[0] == 'c' ? 7 : 0);
    for_each_index(y.shape, [&](const Shape& i) {
      const int64_t a = i[1] - 1, b = i[2] - 3;
      const bool inside = a >= 0 && a < 5 && b >= 0 && b < 4;
      if (inside || mode[0] != 'c') y.at(i) = x.at({i[0], around(a, 5, mode[0]), around(b, 4, mode[0])});
    });
    for (DType type : kTypes) {
      Case c{.op = "Pad",
             .opset = 19,
             .attributes = {{"mode", std::string(mode)}},
             .inputs = {tensor_of(type, x), ints({0, 1, 3, 0, 2, 2})},
             .constant = {false, true},
             .expected = y,
             .dtype = type};
      if (mode[0] == 'c') c.inputs.push_back(scalar(type, 7));
      cases.add(c);
    }
  }
  cases.add({.op = "Pad",  // negative: cut off
             .opset = 13,
             .inputs = {f32_tensor(x), ints({0, -2, 0, 1, 0, -1})},
             .constant = {false, true},
             .expected = [&] {
               Array y = Array::filled({4, 3, 3}, 0);
               for_each_index({3, 3, 3}, [&](const Shape& i) { y.at(i) = x.at({i[0], i[1] + 2, i[2]}); });
               return y;
             }()});
}

void add_casts(Cases& cases) {
  const Array x = cases.integers({4, 9}, 0, 99);
  for (DType from : {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kU8, DType::kF16, DType::kBF16}) {
    for (DType to :
         {DType::kF32, DType::kF64, DType::kI32, DType::kI64, DType::kU8, DType::kF16, DType::kBF16, DType::kBool}) {
      const Array y = to == DType::kBool ? map(x, [](double v) { return static_cast<double>(v != 0); }) : x;
      cases.add({.op = "Cast",
                 .attributes = {{"to", static_cast<int64_t>(dtype_to_onnx(to))}},
                 .inputs = {tensor_of(from, x)},
                 .expected = y,
                 .dtype = to});
      cases.add(
          {.op = "CastLike", .inputs = {tensor_of(from, x), tensor_of(to, {{1}, {0}})}, .expected = y, .dtype = to});
    }
  }
}

void add_makers(Cases& cases) {
  const Array x = cases.integers({2, 3, 4}, 0, 9);
  cases.add({.op = "Shape", .inputs = {f32_tensor(x)}, .expected = {{3}, {2, 3, 4}}, .dtype = DType::kI64});
  cases.add({.op = "Shape",
             .attributes = {{"start", int64_t{-2}}},
             .inputs = {f32_tensor(x)},
             .expected = {{2}, {3, 4}},
             .dtype = DType::kI64});
  cases.add({.op = "Size", .inputs = {f32_tensor(x)}, .expected = {{}, {24}}, .dtype = DType::kI64});
  cases.add({.op = "Constant", .attributes = {{"value", f32_tensor(x)}}, .expected = x});
  cases.add(
      {.op = "Constant", .attributes = {{"value_ints", Shape{4, 5}}}, .expected = {{2}, {4, 5}}, .dtype = DType::kI64});
  cases.add(
      {.op = "ConstantOfShape", .inputs = {ints({40000})}, .constant = {true}, .expected = Array::filled({40000}, 0)});
  cases.add({.op = "ConstantOfShape",
             .attributes = {{"value", tensor_of(DType::kI32, {{1}, {7}})}},
             .inputs = {ints({2, 3})},
             .constant = {true},
             .expected = Array::filled({2, 3}, 7),
             .dtype = DType::kI32});
  cases.add({.op = "EyeLike",
             .attributes = {{"k", int64_t{1}}},
             .inputs = {f32_tensor({{2, 3}, {0, 0, 0, 0, 0, 0}})},
             .expected = {{2, 3}, {0, 1, 0, 0, 0, 1}}});
  for (DType type : {DType::kF32, DType::kI64}) {
    cases.add({.op = "Range",
               .inputs = {scalar(type, 9), scalar(type, 1), scalar(type, -3)},
               .constant = {true, true, true},
               .expected = {{3}, {9, 6, 3}},
               .dtype = type});
  }
  for (int64_t upper : {0, 1}) {
    const Array square = cases.integers({2, 4, 5}, 1, 99);
    Array y = square;
    for_each_index(y.shape, [&](const Shape& i) {
      if (upper != 0 ? i[2] < i[1] + 1 : i[2] > i[1] + 1) y.at(i) = 0;
    });
    add(cases,
        {.op = "Trilu",
         .attributes = {{"upper", upper}},
         .inputs = {scalar(DType::kI64, 1)},
         .constant = {false, true}},
        square, y);
  }
}

}  // namespace

void add_rearrange_cases(Cases& cases) {
  add_copies(cases);
  add_transposes(cases);
  add_shuffles(cases);
  add_joins(cases);
  add_views(cases);
  add_pads(cases);
  add_casts(cases);
  add_makers(cases);
}

}  // namespace motet::ops::testing
