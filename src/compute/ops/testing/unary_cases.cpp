// Functions of one element, and tests of one.
#include <limits>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double log1p_exp(double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); }
double logistic(double v) { return 1 / (1 + std::exp(-v)); }
double gelu(double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }
double tanh_gelu(double v) { return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))); }
double hard(double v, double a, double b) { return std::min(1.0, std::max(0.0, a * v + b)); }

struct Function {
  const char* op;
  double (*f)(double);
  double low, high;
  double roundings;  // 0: exact
  double floor = 0;  // where the function is approximated in absolute terms
  Attributes attributes = {};
};

const std::vector<Function>& functions() {
  static const std::vector<Function> list = {
      {"Abs", [](double v) { return std::abs(v); }, -5, 5, 0},
      {"Neg", [](double v) { return -v; }, -5, 5, 0},
      {"Relu", [](double v) { return std::max(v, 0.0); }, -5, 5, 0},
      {"Floor", [](double v) { return std::floor(v); }, -5, 5, 0},
      {"Ceil", [](double v) { return std::ceil(v); }, -5, 5, 0},
      {"Round", [](double v) { return std::nearbyint(v); }, -5, 5, 0},
      {"Sign", [](double v) { return static_cast<double>((v > 0) - (v < 0)); }, -5, 5, 0},
      {"Sqrt", [](double v) { return std::sqrt(v); }, 0, 9, 2},
      {"Reciprocal", [](double v) { return 1 / v; }, 0.1, 9, 2},
      {"Exp", [](double v) { return std::exp(v); }, -80, 80, 8},
      {"Log", [](double v) { return std::log(v); }, 0.01, 9, 64, 1},
      {"Erf", [](double v) { return std::erf(v); }, -5, 5, 8},
      {"Tanh", [](double v) { return std::tanh(v); }, -12, 12, 16},
      {"Sigmoid", logistic, -80, 80, 16, 1e-2},
      {"Sin", [](double v) { return std::sin(v); }, -5, 5, 4, 0.1},
      {"Cos", [](double v) { return std::cos(v); }, -5, 5, 4, 0.1},
      {"Tan", [](double v) { return std::tan(v); }, -1.4, 1.4, 8},
      {"Asin", [](double v) { return std::asin(v); }, -1, 1, 8},
      {"Acos", [](double v) { return std::acos(v); }, -1, 1, 8, 0.1},
      {"Atan", [](double v) { return std::atan(v); }, -9, 9, 8},
      {"Sinh", [](double v) { return std::sinh(v); }, -9, 9, 8},
      {"Cosh", [](double v) { return std::cosh(v); }, -9, 9, 8},
      {"Asinh", [](double v) { return std::asinh(v); }, -9, 9, 8},
      {"Acosh", [](double v) { return std::acosh(v); }, 1, 9, 8},
      {"Atanh", [](double v) { return std::atanh(v); }, -0.95, 0.95, 8},
      {"Softplus", log1p_exp, -30, 30, 8},
      {"Softsign", [](double v) { return v / (1 + std::abs(v)); }, -9, 9, 4},
      {"Mish", [](double v) { return v * std::tanh(log1p_exp(v)); }, -20, 20, 16, 1e-2},
      {"LeakyRelu", [](double v) { return v < 0 ? 0.01f * v : v; }, -5, 5, 2},
      {"LeakyRelu", [](double v) { return v < 0 ? 0.25 * v : v; }, -5, 5, 2, 0, {{"alpha", 0.25f}}},
      {"Elu", [](double v) { return v < 0 ? std::expm1(v) : v; }, -20, 20, 16, 0.1},
      {"Elu", [](double v) { return v < 0 ? 0.5 * std::expm1(v) : v; }, -5, 5, 16, 0.1, {{"alpha", 0.5f}}},
      {"Celu", [](double v) { return v < 0 ? 2 * std::expm1(v / 2) : v; }, -9, 9, 8, 0, {{"alpha", 2.0f}}},
      {"Selu",
       [](double v) {
         return v > 0 ? 1.05070102214813232 * v : 1.05070102214813232 * 1.67326319217681884 * std::expm1(v);
       },
       -9, 9, 16, 0.1},
      {"ThresholdedRelu", [](double v) { return v > 1 ? v : 0; }, -3, 3, 0},
      {"HardSigmoid", [](double v) { return hard(v, 0.2f, 0.5); }, -5, 5, 4, 0.5},
      {"HardSigmoid", [](double v) { return hard(v, 0.5, 0.25); }, -5, 5, 4, 0.5, {{"alpha", 0.5f}, {"beta", 0.25f}}},
      {"HardSwish", [](double v) { return v * hard(v, 1.0 / 6, 0.5); }, -5, 5, 8, 0.5},
      {"Shrink", [](double v) { return v < -0.5  ? v
                                       : v > 0.5 ? v
                                                 : 0; }, -3, 3, 0},
      {"Swish", [](double v) { return v * logistic(v); }, -20, 20, 16, 1e-2},
      {"Gelu", gelu, -9, 9, 32, 0.5},
      {"Gelu", tanh_gelu, -9, 9, 32, 0.5, {{"approximate", std::string("tanh")}}},
  };
  return list;
}

// Where IEEE 754 or the definition says what comes out.
void add_special_values(Cases& cases) {
  const Array x{{6}, {kInfinity, -kInfinity, kNaN, 0, -0.0, 1e-40}};
  auto exact = [&](const char* op, std::vector<double> y) {
    cases.add({.op = op, .inputs = {f32_tensor(x)}, .expected = {{6}, std::move(y)}, .roundings = 2, .floor = 1e-30});
  };
  exact("Abs", {kInfinity, kInfinity, kNaN, 0, 0, 1e-40});
  exact("Neg", {-kInfinity, kInfinity, kNaN, 0, 0, -1e-40});
  exact("Exp", {kInfinity, 0, kNaN, 1, 1, 1});
  exact("Tanh", {1, -1, kNaN, 0, 0, 0});
  exact("Sigmoid", {1, 0, kNaN, 0.5, 0.5, 0.5});
  exact("Erf", {1, -1, kNaN, 0, 0, 0});
  exact("Floor", {kInfinity, -kInfinity, kNaN, 0, 0, 0});
  exact("Ceil", {kInfinity, -kInfinity, kNaN, 0, 0, 1});
  auto test = [&](const char* op, Attributes attributes, std::vector<double> y) {
    for (DType type : {DType::kF32, DType::kF64}) {
      cases.add({.op = op,
                 .opset = 20,
                 .attributes = attributes,
                 .inputs = {tensor_of(type, x)},
                 .expected = {{6}, y},
                 .dtype = DType::kBool});
    }
  };
  test("IsNaN", {}, {0, 0, 1, 0, 0, 0});
  test("IsInf", {}, {1, 1, 0, 0, 0, 0});
  test("IsInf", {{"detect_negative", int64_t{0}}}, {1, 0, 0, 0, 0, 0});
  test("IsInf", {{"detect_positive", int64_t{0}}}, {0, 1, 0, 0, 0, 0});
}

void add_clips(Cases& cases) {
  for (const Shape& shape : {Shape{2, 17, 3, 3}, Shape{9000}}) {
    const Array x = cases.array(shape, -9, 9);
    const Array y = map(x, [](double v) { return std::min(6.0, std::max(0.5, v)); });
    const Array capped = map(x, [](double v) { return std::min(6.0, v); });
    const Tensor low = scalar(DType::kF32, 0.5), high = scalar(DType::kF32, 6);
    cases.add({.op = "Clip",
               .opset = 6,
               .attributes = {{"min", 0.5f}, {"max", 6.0f}},
               .inputs = {f32_tensor(x)},
               .expected = y});
    for (bool constant : {false, true}) {
      cases.add({.op = "Clip",
                 .opset = 13,
                 .inputs = {f32_tensor(x), low, high},
                 .constant = {false, constant, constant},
                 .expected = y});
      cases.add({.op = "Clip",
                 .opset = 13,
                 .inputs = {f32_tensor(x), Tensor(), high},
                 .constant = {false, false, constant},
                 .expected = capped});
    }
  }
}

void add_integers(Cases& cases) {
  struct Entry {
    const char* op;
    double (*f)(double);
  };
  const Entry entries[] = {{"Abs", [](double v) { return std::abs(v); }},
                           {"Neg", [](double v) { return -v; }},
                           {"Relu", [](double v) { return std::max(v, 0.0); }},
                           {"Sign", [](double v) { return static_cast<double>((v > 0) - (v < 0)); }},
                           {"BitwiseNot", [](double v) { return -v - 1; }}};
  for (const Entry& e : entries) {
    for (DType type : {DType::kI8, DType::kI32, DType::kI64}) {
      const Array x = cases.integers({3, 37}, -99, 99);
      cases.add({.op = e.op, .opset = 18, .inputs = {tensor_of(type, x)}, .expected = map(x, e.f), .dtype = type});
    }
  }
  const Array x = cases.integers({5, 41}, 0, 1);
  cases.add({.op = "Not",
             .inputs = {tensor_of(DType::kBool, x)},
             .expected = map(x, [](double v) { return 1 - v; }),
             .dtype = DType::kBool});
}

}  // namespace

void add_unary_cases(Cases& cases) {
  for (const Function& e : functions()) {
    // Of rank 0, empty, odd channels, whole blocks, and large enough that oneDNN's turn comes.
    for (const Shape& shape :
         {Shape{}, Shape{0, 3}, Shape{2, 19, 3, 5}, Shape{1, 32, 4, 4}, Shape{3, 20, 13, 11}, Shape{9001}}) {
      const Array x = cases.array(shape, e.low, e.high);
      cases.add({.op = e.op,
                 .opset = 22,
                 .attributes = e.attributes,
                 .inputs = {f32_tensor(x)},
                 .expected = map(x, e.f),
                 .roundings = e.roundings,
                 .floor = e.floor});
    }
    const Array narrow = map(cases.array({2, 33}, e.low, std::min(e.high, 9.0)),
                             [](double v) { return f16_to_float(float_to_f16(static_cast<float>(v))); });
    cases.add({.op = e.op,
               .opset = 22,
               .attributes = e.attributes,
               .inputs = {tensor_of(DType::kF16, narrow)},
               .expected = map(narrow, e.f),
               .dtype = DType::kF16,
               .roundings = e.roundings + 2,
               .floor = std::max(e.floor, 1.0)});
  }
  for (const Shape& shape : {Shape{7, 31}, Shape{9001}}) {
    const Array x = cases.array(shape, -9, 9);
    cases.add({.op = "Gelu",
               .domain = "com.microsoft",
               .opset = 1,
               .inputs = {f32_tensor(x)},
               .expected = map(x, gelu),
               .roundings = 32,
               .floor = 0.5});
    cases.add({.op = "QuickGelu",
               .domain = "com.microsoft",
               .opset = 1,
               .inputs = {f32_tensor(x)},
               .expected = map(x, [](double v) { return v * logistic(1.702f * v); }),
               .roundings = 16,
               .floor = 0.1});
  }
  add_special_values(cases);
  add_clips(cases);
  add_integers(cases);
}

}  // namespace motet::ops::testing
