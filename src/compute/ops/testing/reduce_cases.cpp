// Reductions over every set of axes, positions of extremes, running sums, the largest few.
#include <algorithm>
#include <numeric>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

struct Entry {
  const char* op;
  double start;
  double (*f)(double, double);
  double (*finish)(double, double);
  bool exact = false;
};

double same(double v, double) { return v; }
const Entry kEntries[] = {
    {"ReduceSum", 0, plus, same},
    {"ReduceMean", 0, plus, [](double v, double n) { return v / n; }},
    {"ReduceMax", -1e30, [](double a, double v) { return std::max(a, v); }, same, true},
    {"ReduceMin", 1e30, [](double a, double v) { return std::min(a, v); }, same, true},
    {"ReduceProd", 1, [](double a, double v) { return a * v; }, same},
    {"ReduceL1", 0, [](double a, double v) { return a + std::abs(v); }, same},
    {"ReduceL2", 0, [](double a, double v) { return a + v * v; }, [](double v, double) { return std::sqrt(v); }},
    {"ReduceSumSquare", 0, [](double a, double v) { return a + v * v; }, same},
    {"ReduceLogSum", 0, plus, [](double v, double) { return std::log(v); }},
    {"ReduceLogSumExp", 0, [](double a, double v) { return a + std::exp(v); },
     [](double v, double) { return std::log(v); }},
};

void add_reductions(Cases& cases, const Shape& shape, int first_mask) {
  const Array x = cases.array(shape, 0.9, 1.2);
  const auto rank = static_cast<int>(shape.size());
  for (const Entry& e : kEntries) {
    for (int mask = first_mask; mask < 1 << rank; ++mask) {
      std::vector<bool> axes;
      Shape list, dropped;
      double n = 1;
      for (int d = 0; d < rank; ++d) {
        const int64_t extent = shape[static_cast<size_t>(d)];
        axes.push_back(mask == 0 || (mask >> d & 1) != 0);
        if ((mask >> d & 1) != 0) list.push_back(d - (mask % 3 == 0 ? rank : 0));  // negative axes count from the end
        if (axes.back()) n *= static_cast<double>(extent);
        if (!axes.back()) dropped.push_back(extent);
      }
      const Array y = map(reduce(x, axes, e.start, e.f), [&](double v) { return e.finish(v, n); });
      const double roundings = e.exact ? 0 : n + 8;
      Case c{.op = e.op, .opset = 11, .inputs = {f32_tensor(x)}, .expected = y, .roundings = roundings, .floor = 1};
      if (mask != 0) c.attributes.emplace("axes", list);
      cases.add(c);
      if (mask % 4 != 1) continue;
      // Axes as an input, and the extents gone.
      c.opset = 18;
      c.attributes = {{"keepdims", int64_t{0}}};
      c.inputs.push_back(ints(list));
      c.constant = {false, true};
      c.expected.shape = dropped;
      cases.add(c);
    }
  }
}

void add_integer_reductions(Cases& cases) {
  const Array x = cases.integers({3, 40}, -9, 9);
  for (const Entry& e : kEntries) {
    const std::string op = e.op;
    if (op != "ReduceSum" && op != "ReduceMax" && op != "ReduceMin" && op != "ReduceL1" && op != "ReduceSumSquare")
      continue;
    for (DType type : {DType::kI32, DType::kI64}) {
      cases.add({.op = op,
                 .opset = 11,
                 .attributes = {{"axes", Shape{1}}},
                 .inputs = {tensor_of(type, x)},
                 .expected = reduce(x, {false, true}, e.start, e.f),
                 .dtype = type});
    }
  }
}

// Positions along `axis` in the order that TopK and ArgMax go by; equal elements in order of position.
std::vector<int64_t> order_along(const Array& x, Shape at, size_t axis, bool largest) {
  std::vector<int64_t> order(static_cast<size_t>(x.shape[axis]));
  std::iota(order.begin(), order.end(), int64_t{0});
  auto value = [&](int64_t k) {
    at[axis] = k;
    return x.at(at);
  };
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    if (value(a) == value(b)) return a < b;
    return largest ? value(a) > value(b) : value(a) < value(b);
  });
  return order;
}

void add_orders(Cases& cases) {
  const Array x = cases.integers({3, 17, 4}, -6, 6);  // few values, so that there are equals
  for (DType type : {DType::kF32, DType::kI64}) {
    for (size_t axis = 0; axis < 3; ++axis) {
      for (bool largest : {false, true}) {
        Shape shape = x.shape;
        shape[axis] = 1;
        Array at = Array::filled(shape, 0);
        for_each_index(shape,
                       [&](const Shape& i) { at.at(i) = static_cast<double>(order_along(x, i, axis, largest)[0]); });
        cases.add({.op = largest ? "ArgMax" : "ArgMin",
                   .attributes = {{"axis", static_cast<int64_t>(axis)}},
                   .inputs = {tensor_of(type, x)},
                   .expected = at,
                   .dtype = DType::kI64});
        shape[axis] = 3;
        Array values = Array::filled(shape, 0), places = values;
        for_each_index(shape, [&](const Shape& i) {
          Shape from = i;
          from[axis] = order_along(x, i, axis, largest)[static_cast<size_t>(i[axis])];
          places.at(i) = static_cast<double>(from[axis]);
          values.at(i) = x.at(from);
        });
        cases.add({.op = "TopK",
                   .attributes = {{"axis", static_cast<int64_t>(axis)}, {"largest", int64_t{largest}}},
                   .inputs = {tensor_of(type, x), ints({3})},
                   .constant = {false, true},
                   .expected = values,
                   .dtype = type,
                   .more = {{places, DType::kI64}}});
      }
    }
  }
}

void add_running_sums(Cases& cases) {
  const Array x = cases.array({4, 9, 3});
  for (int64_t axis = 0; axis < 3; ++axis) {
    for (bool exclusive : {false, true}) {
      for (bool reverse : {false, true}) {
        Array y = x, products = x;
        for_each_index(x.shape, [&](const Shape& i) {
          y.at(i) = 0;
          products.at(i) = 1;
          for (int64_t k = 0; k < x.shape[static_cast<size_t>(axis)]; ++k) {
            Shape from = i;
            from[static_cast<size_t>(axis)] = k;
            const int64_t ahead = reverse ? k - i[static_cast<size_t>(axis)] : i[static_cast<size_t>(axis)] - k;
            if (ahead < 0 || (ahead == 0 && exclusive)) continue;
            y.at(i) += x.at(from);
            products.at(i) *= x.at(from);
          }
        });
        cases.add({.op = "CumSum",
                   .attributes = {{"exclusive", int64_t{exclusive}}, {"reverse", int64_t{reverse}}},
                   .inputs = {f32_tensor(x), scalar(DType::kI64, static_cast<double>(axis))},
                   .constant = {false, true},
                   .expected = y,
                   .roundings = 10,
                   .floor = 18});
        cases.add({.op = "CumProd",
                   .opset = 26,
                   .attributes = {{"exclusive", int64_t{exclusive}}, {"reverse", int64_t{reverse}}},
                   .inputs = {f32_tensor(x), scalar(DType::kI64, static_cast<double>(axis))},
                   .constant = {false, true},
                   .expected = products,
                   .roundings = 10});
      }
    }
  }
}

}  // namespace

void add_reduce_cases(Cases& cases) {
  add_reductions(cases, {2, 3, 17, 4}, 0);
  add_reductions(cases, {5, 130}, 1);
  add_reductions(cases, {2, 40, 9, 64}, 12);
  add_integer_reductions(cases);
  add_orders(cases);
  add_running_sums(cases);
}

}  // namespace motet::ops::testing
