// Functions of several elements under broadcasting: arithmetic, bits, comparisons, choices.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Entry {
  const char* op;
  double (*f)(double, double);
  double roundings = 0;
};

// Every broadcast form: none, per channel, scalar, both sides, more extents on either side, empty.
const std::pair<Shape, Shape> kShapes[] = {{{2, 19, 3, 5}, {2, 19, 3, 5}},
                                           {{2, 16, 3, 5}, {1, 16, 1, 1}},
                                           {{2, 16, 3, 5}, {16, 1, 1}},
                                           {{2, 19, 3, 5}, {}},
                                           {{2, 16, 4, 4}, {1, 1, 1, 1}},
                                           {{3, 1, 7}, {5, 1}},
                                           {{4}, {2, 3, 4}},
                                           {{0, 3}, {1, 3}},
                                           {{9}, {9}},
                                           {{2, 24, 17, 13}, {2, 24, 17, 13}},
                                           {{2, 24, 17, 13}, {2, 24, 1, 1}},
                                           {{2, 19, 5, 7}, {2, 19, 1, 1}},
                                           {{1, 19, 1, 1}, {2, 19, 5, 7}},
                                           {{2, 24, 17, 13}, {2, 1, 17, 13}},
                                           {{90, 101}, {101}},
                                           {{90, 101}, {90, 1}},
                                           {{1}, {9001}}};

void add_arithmetic(Cases& cases) {
  const Entry entries[] = {{"Add", plus, 1},
                           {"Sub", [](double a, double b) { return a - b; }, 1},
                           {"Mul", [](double a, double b) { return a * b; }, 1},
                           {"Div", [](double a, double b) { return a / b; }, 2},
                           {"Max", [](double a, double b) { return std::max(a, b); }},
                           {"Min", [](double a, double b) { return std::min(a, b); }},
                           {"Pow", [](double a, double b) { return std::pow(a, b); }, 16},
                           {"PRelu", [](double a, double b) { return a < 0 ? a * b : a; }, 1},
                           {"Sum", plus, 1},
                           {"Mean", [](double a, double b) { return (a + b) / 2; }, 2}};
  for (const Entry& e : entries) {
    const bool one_way = std::string_view(e.op) == "PRelu";
    for (const auto& [left, right] : kShapes) {
      const Array a = cases.array(left, one_way ? -3 : 0.5, 3), b = cases.array(right, 0.5, 3);
      const Array y = broadcast(a, b, e.f);
      if (one_way && y.shape != a.shape) continue;
      cases.add({.op = e.op, .inputs = {f32_tensor(a), f32_tensor(b)}, .expected = y, .roundings = e.roundings});
    }
  }
  const Array a = cases.array({3, 4}), b = cases.array({4});
  auto larger = [](double p, double q) { return std::max(p, q); };
  const std::vector<Tensor> three = {f32_tensor(a), f32_tensor(b), f32_tensor(a)};  // an operand may come twice
  cases.add({.op = "Sum",
             .inputs = three,
             .expected = broadcast(broadcast(a, b, plus), a, plus),
             .roundings = 2,
             .floor = 4});
  cases.add({.op = "Max", .inputs = three, .expected = broadcast(a, b, larger)});
  cases.add({.op = "Mean", .inputs = {f32_tensor(a)}, .expected = a});
}

void add_integers(Cases& cases) {
  const Entry entries[] = {
      {"Add", plus},
      {"Sub", [](double a, double b) { return a - b; }},
      {"Mul", [](double a, double b) { return a * b; }},
      {"Div", [](double a, double b) { return std::trunc(a / b); }},
      {"Mod", [](double a, double b) { return a - b * std::floor(a / b); }},
      {"Max", [](double a, double b) { return std::max(a, b); }},
      {"Min", [](double a, double b) { return std::min(a, b); }},
      {"BitwiseAnd",
       [](double a, double b) { return static_cast<double>(static_cast<int64_t>(a) & static_cast<int64_t>(b)); }},
      {"BitwiseOr",
       [](double a, double b) { return static_cast<double>(static_cast<int64_t>(a) | static_cast<int64_t>(b)); }},
      {"BitwiseXor",
       [](double a, double b) { return static_cast<double>(static_cast<int64_t>(a) ^ static_cast<int64_t>(b)); }}};
  for (const Entry& e : entries) {
    for (DType type : {DType::kI32, DType::kI64}) {
      for (const auto& [left, right] : {std::pair<Shape, Shape>{{3, 1, 7}, {5, 1}}, {{9001}, {1}}}) {
        const Array a = cases.integers(left, -99, 99), b = cases.integers(right, 1, 9);
        cases.add({.op = e.op,
                   .opset = 18,
                   .inputs = {tensor_of(type, a), tensor_of(type, b)},
                   .expected = broadcast(a, b, e.f),
                   .dtype = type});
      }
    }
  }
  const Array bits = cases.integers({4, 5}, 0, 4095), by = cases.integers({5}, 0, 9);
  const Tensor left = tensor_of(DType::kU32, bits), right = tensor_of(DType::kU32, by);
  cases.add({.op = "BitShift",
             .attributes = {{"direction", std::string("LEFT")}},
             .inputs = {left, right},
             .expected = broadcast(bits, by, [](double a, double b) { return a * std::exp2(b); }),
             .dtype = DType::kU32});
  cases.add({.op = "BitShift",
             .attributes = {{"direction", std::string("RIGHT")}},
             .inputs = {left, right},
             .expected = broadcast(bits, by, [](double a, double b) { return std::floor(a / std::exp2(b)); }),
             .dtype = DType::kU32});
  const Array p = cases.array({4, 5}, -9, 9), q = cases.array({5}, 1, 3);
  cases.add({.op = "Mod",
             .attributes = {{"fmod", int64_t{1}}},
             .inputs = {f32_tensor(p), f32_tensor(q)},
             .expected = broadcast(p, q, [](double a, double b) { return std::fmod(a, b); })});
}

void add_truths(Cases& cases) {
  const Entry logic[] = {{"And", [](double a, double b) { return a * b; }},
                         {"Or", [](double a, double b) { return std::max(a, b); }},
                         {"Xor", [](double a, double b) { return std::abs(a - b); }}};
  const Entry tests[] = {{"Equal", [](double a, double b) { return static_cast<double>(a == b); }},
                         {"Greater", [](double a, double b) { return static_cast<double>(a > b); }},
                         {"GreaterOrEqual", [](double a, double b) { return static_cast<double>(a >= b); }},
                         {"Less", [](double a, double b) { return static_cast<double>(a < b); }},
                         {"LessOrEqual", [](double a, double b) { return static_cast<double>(a <= b); }}};
  auto add = [&](const Entry& e, DType type, double low, double high) {
    for (const auto& [left, right] : {std::pair<Shape, Shape>{{3, 1, 7}, {5, 1}}, {{2, 3}, {2, 3}}, {{}, {4}}}) {
      const Array a = cases.integers(left, static_cast<int64_t>(low), static_cast<int64_t>(high));
      const Array b = cases.integers(right, static_cast<int64_t>(low), static_cast<int64_t>(high));
      cases.add({.op = e.op,
                 .inputs = {tensor_of(type, a), tensor_of(type, b)},
                 .expected = broadcast(a, b, e.f),
                 .dtype = DType::kBool});
    }
  };
  for (const Entry& e : logic) add(e, DType::kBool, 0, 1);
  for (const Entry& e : tests) {
    add(e, DType::kF32, -2, 2);
    add(e, DType::kI64, -2, 2);
  }
}

void add_choices(Cases& cases) {
  for (DType type : {DType::kF32, DType::kI64, DType::kU8, DType::kF16}) {
    const Array which = cases.integers({4, 1, 6}, 0, 1), a = cases.integers({5, 6}, 0, 99),
                b = cases.integers({1}, 0, 99);
    Array y = Array::filled({4, 5, 6}, 0);
    for_each_index(
        y.shape, [&](const Shape& i) { y.at(i) = which.at({i[0], 0, i[2]}) != 0 ? a.at({i[1], i[2]}) : b.values[0]; });
    cases.add({.op = "Where",
               .inputs = {tensor_of(DType::kBool, which), tensor_of(type, a), tensor_of(type, b)},
               .expected = y,
               .dtype = type});
  }
}

}  // namespace

void add_binary_cases(Cases& cases) {
  add_arithmetic(cases);
  add_integers(cases);
  add_truths(cases);
  add_choices(cases);
}

}  // namespace motet::ops::testing
