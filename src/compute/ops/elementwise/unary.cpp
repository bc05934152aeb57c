#include <cmath>
#include <limits>
#include <optional>

#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/elementwise/layout.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

// An op's parameters as the loops take them.
struct Parameters {
  double alpha = 0, beta = 0;
};

Parameters parameters_of(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "LeakyRelu") return {node.float_or("alpha", 0.01f)};
  if (op == "Elu" || op == "Celu" || op == "ThresholdedRelu") return {node.float_or("alpha", 1.0f)};
  if (op == "Selu")
    return {node.float_or("alpha", 1.67326319217681884765625f), node.float_or("gamma", 1.05070102214813232421875f)};
  if (op == "HardSigmoid") return {node.float_or("alpha", 0.2f), node.float_or("beta", 0.5f)};
  if (op == "Shrink") return {node.float_or("lambd", 0.5f), node.float_or("bias", 0.0f)};
  if (op == "Swish") return {node.float_or("alpha", 1.0f)};
  if (op == "QuickGelu") return {node.float_or("alpha", 1.702f)};
  if (op == "Softplus" || op == "Gelu") return {};
  return {};
}

struct Fast {
  std::string_view op;
  vec::Unary kind;
  bool cheap;  // bound by memory
  bool keeps_zero;
};
constexpr Fast kFast[] = {
    {"Abs", vec::Unary::kAbs, true, true},
    {"Neg", vec::Unary::kNeg, true, true},
    {"Sqrt", vec::Unary::kSqrt, true, true},
    {"Reciprocal", vec::Unary::kReciprocal, true, false},
    {"Floor", vec::Unary::kFloor, true, true},
    {"Ceil", vec::Unary::kCeil, true, true},
    {"Round", vec::Unary::kRound, true, true},
    {"Exp", vec::Unary::kExp, false, false},
    {"Erf", vec::Unary::kErf, false, true},
    {"Tanh", vec::Unary::kTanh, false, true},
    {"Sigmoid", vec::Unary::kSigmoid, false, false},
    {"Relu", vec::Unary::kRelu, true, true},
    {"LeakyRelu", vec::Unary::kLeakyRelu, true, true},
    {"Elu", vec::Unary::kElu, false, true},
    {"Selu", vec::Unary::kSelu, false, true},
    {"HardSigmoid", vec::Unary::kHardSigmoid, true, false},
    {"HardSwish", vec::Unary::kHardSwish, true, true},
    {"Swish", vec::Unary::kSwish, false, true},
    {"QuickGelu", vec::Unary::kSwish, false, true},
    {"Gelu", vec::Unary::kGeluErf, false, true},
};

std::optional<Fast> fast_form(const graph::Node& node) {
  for (const Fast& fast : kFast) {
    if (fast.op != node.op) continue;
    Fast found = fast;
    if (node.op == "Gelu" && node.string_or("approximate", "none") == "tanh") found.kind = vec::Unary::kGeluTanh;
    return found;
  }
  return std::nullopt;
}

KernelPtr fast_kernel(const NodeRequest& request, const Fast& fast) {
  const Parameters p = parameters_of(request.node);
  const Layout layout = common_layout(request, 1, fast.keeps_zero);
  TensorSpec spec = request.outputs[0];
  spec.layout = layout;
  const auto count = static_cast<int64_t>(spec.bytes() / sizeof(float));
  KernelTraits traits{
      .in_place_of = 0, .flops = static_cast<double>(count), .input_layouts = {layout}, .output_layout = layout};
  return make_kernel(
      [kind = fast.kind, count, grain = fast.cheap ? kGrain : kGrain / 8, alpha = static_cast<float>(p.alpha),
       beta = static_cast<float>(p.beta)](const KernelArgs& args, device::Team& team) {
        const auto* x = input_data<float>(args, 0);
        auto* y = output_data<float>(args, 0);
        team.for_range(count, grain, [&](int64_t begin, int64_t end) {
          vec::loops().unary(kind, x + begin, y + begin, end - begin, alpha, beta);
        });
      },
      traits);
}

template <class T>
using Row = void (*)(const T* x, T* y, int64_t n, T alpha, T beta);

// The loop over captureless f(element, alpha, beta).
template <class T, class F>
Row<T> row_of(F) {
  return [](const T* x, T* y, int64_t n, T alpha, T beta) {
    for (int64_t i = 0; i < n; ++i) y[i] = F{}(x[i], alpha, beta);
  };
}

template <class T>
T erf_gelu(T v) {
  return T(0.5) * v * (T(1) + std::erf(v * T(0.70710678118654752440)));
}
template <class T>
T tanh_gelu(T v) {
  return T(0.5) * v * (T(1) + std::tanh(T(0.79788456080286535588) * (v + T(0.044715) * v * v * v)));
}

template <class T>
Row<T> trigonometric_row(std::string_view op) {
  if (op == "Sin") return row_of<T>([](T v, T, T) { return std::sin(v); });
  if (op == "Cos") return row_of<T>([](T v, T, T) { return std::cos(v); });
  if (op == "Tan") return row_of<T>([](T v, T, T) { return std::tan(v); });
  if (op == "Asin") return row_of<T>([](T v, T, T) { return std::asin(v); });
  if (op == "Acos") return row_of<T>([](T v, T, T) { return std::acos(v); });
  if (op == "Atan") return row_of<T>([](T v, T, T) { return std::atan(v); });
  if (op == "Sinh") return row_of<T>([](T v, T, T) { return std::sinh(v); });
  if (op == "Cosh") return row_of<T>([](T v, T, T) { return std::cosh(v); });
  if (op == "Tanh") return row_of<T>([](T v, T, T) { return std::tanh(v); });
  if (op == "Asinh") return row_of<T>([](T v, T, T) { return std::asinh(v); });
  if (op == "Acosh") return row_of<T>([](T v, T, T) { return std::acosh(v); });
  if (op == "Atanh") return row_of<T>([](T v, T, T) { return std::atanh(v); });
  return nullptr;
}

template <class T>
Row<T> activation_row(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "LeakyRelu") return row_of<T>([](T v, T a, T) { return v < 0 ? a * v : v; });
  if (op == "Elu") return row_of<T>([](T v, T a, T) { return v < 0 ? a * std::expm1(v) : v; });
  if (op == "Celu") return row_of<T>([](T v, T a, T) { return v < 0 ? a * std::expm1(v / a) : v; });
  if (op == "Selu") return row_of<T>([](T v, T a, T b) { return v > 0 ? b * v : b * a * std::expm1(v); });
  if (op == "ThresholdedRelu") return row_of<T>([](T v, T a, T) { return v > a ? v : T(0); });
  if (op == "Sigmoid") return row_of<T>([](T v, T, T) { return 1 / (1 + std::exp(-v)); });
  if (op == "HardSigmoid") return row_of<T>([](T v, T a, T b) { return std::min(T(1), std::max(T(0), a * v + b)); });
  if (op == "HardSwish") return row_of<T>([](T v, T, T) { return v * std::min(T(1), std::max(T(0), v / 6 + T(0.5))); });
  if (op == "Swish" || op == "QuickGelu") return row_of<T>([](T v, T a, T) { return v / (1 + std::exp(-a * v)); });
  if (op == "Softplus")
    return row_of<T>([](T v, T, T) { return std::max(v, T(0)) + std::log1p(std::exp(-std::abs(v))); });
  if (op == "Softsign") return row_of<T>([](T v, T, T) { return v / (1 + std::abs(v)); });
  if (op == "Mish") {
    return row_of<T>([](T v, T, T) { return v * std::tanh(std::max(v, T(0)) + std::log1p(std::exp(-std::abs(v)))); });
  }
  if (op == "Shrink") return row_of<T>([](T v, T l, T b) { return v < -l ? v + b : v > l ? v - b : T(0); });
  if (op == "Gelu") {
    if (node.string_or("approximate", "none") == "tanh") return row_of<T>([](T v, T, T) { return tanh_gelu(v); });
    return row_of<T>([](T v, T, T) { return erf_gelu(v); });
  }
  return nullptr;
}

template <class T>
Row<T> float_row(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "Abs") return row_of<T>([](T v, T, T) { return std::abs(v); });
  if (op == "Neg") return row_of<T>([](T v, T, T) { return -v; });
  if (op == "Relu") return row_of<T>([](T v, T, T) { return v < 0 ? T(0) : v; });
  if (op == "Sqrt") return row_of<T>([](T v, T, T) { return std::sqrt(v); });
  if (op == "Reciprocal") return row_of<T>([](T v, T, T) { return 1 / v; });
  if (op == "Floor") return row_of<T>([](T v, T, T) { return std::floor(v); });
  if (op == "Ceil") return row_of<T>([](T v, T, T) { return std::ceil(v); });
  if (op == "Round") return row_of<T>([](T v, T, T) { return std::nearbyint(v); });
  if (op == "Exp") return row_of<T>([](T v, T, T) { return std::exp(v); });
  if (op == "Log") return row_of<T>([](T v, T, T) { return std::log(v); });
  if (op == "Erf") return row_of<T>([](T v, T, T) { return std::erf(v); });
  if (op == "Sign") return row_of<T>([](T v, T, T) { return v > 0 ? T(1) : v < 0 ? T(-1) : v; });
  if (Row<T> row = trigonometric_row<T>(op)) return row;
  return activation_row<T>(node);
}

// Two's complement: the magnitude of the least value is itself.
template <class T>
T negated(T v) {
  return static_cast<T>(std::make_unsigned_t<T>(0) - static_cast<std::make_unsigned_t<T>>(v));
}

template <class T>
Row<T> integer_row(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "Abs") return row_of<T>([](T v, T, T) { return v < 0 ? negated(v) : v; });
  if (op == "Neg") return row_of<T>([](T v, T, T) { return negated(v); });
  if (op == "Relu") return row_of<T>([](T v, T, T) { return v < 0 ? T(0) : v; });
  if (op == "Sign") return row_of<T>([](T v, T, T) { return static_cast<T>((v > 0) - (v < 0)); });
  if (op == "BitwiseNot") return row_of<T>([](T v, T, T) { return static_cast<T>(~v); });
  return nullptr;
}

template <class T>
KernelPtr row_kernel(const NodeRequest& request, Row<T> row) {
  const Parameters p = parameters_of(request.node);
  const int64_t count = elements(request.outputs[0].shape);
  return make_kernel(
      [row, count, alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta)](const KernelArgs& args,
                                                                                   device::Team& team) {
        const T* x = input_data<T>(args, 0);
        T* y = output_data<T>(args, 0);
        team.for_range(count, kGrain / 8,
                       [&](int64_t begin, int64_t end) { row(x + begin, y + begin, end - begin, alpha, beta); });
      },
      {.in_place_of = 0, .flops = static_cast<double>(count)});
}

}  // namespace

Result<KernelPtr> plan_unary(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  if (in.dtype == DType::kF32) {
    if (auto fast = fast_form(request.node)) return fast_kernel(request, *fast);
  }
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    Row<T> row = nullptr;
    if constexpr (std::is_floating_point_v<T>) {
      row = float_row<T>(request.node);
    } else {
      row = integer_row<T>(request.node);
    }
    if (row != nullptr) kernel = row_kernel<T>(request, row);
  });
  if (in.dtype == DType::kBool && request.node.op == "Not") {
    kernel =
        row_kernel<uint8_t>(request, row_of<uint8_t>([](uint8_t v, uint8_t, uint8_t) -> uint8_t { return v == 0; }));
  }
  if (kernel == nullptr) return unsupported(request.node.op + " of " + describe(in));
  return kernel;
}

Result<KernelPtr> plan_test(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kBool, in.shape));
  const bool nan = request.node.op == "IsNaN";
  const bool positive = request.node.int_or("detect_positive", 1) != 0;
  const bool negative = request.node.int_or("detect_negative", 1) != 0;
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([=, count = elements(in.shape)](const KernelArgs& args, device::Team& team) {
      const T* x = input_data<T>(args, 0);
      bool* y = output_data<bool>(args, 0);
      constexpr T kInfinity = std::numeric_limits<T>::infinity();
      team.for_range(count, kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          y[i] = nan ? x[i] != x[i] : (positive && x[i] == kInfinity) || (negative && x[i] == -kInfinity);
        }
      });
    });
  });
  return kernel;
}

}  // namespace motet::ops
