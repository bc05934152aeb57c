#include "compute/ops/elementwise/binary.h"

#include <cmath>
#include <optional>

#include "compute/ops/elementwise/converted.h"
#include "compute/ops/elementwise/elementwise.h"
#include "compute/ops/elementwise/layout.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/widened.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {

void run_broadcast(const BroadcastPlan& plan, BinaryRun run, ElementBytes bytes, const std::byte* a, const std::byte* b,
                   std::byte* y, device::Team& team) {
  const int64_t a_step = plan.inner_step(0), b_step = plan.inner_step(1);
  team.for_range(plan.elements, kGrain, [&](int64_t begin, int64_t end) {
    plan.for_runs(begin, end, [&](int64_t at, int64_t n, const int64_t* offsets) {
      run(a + offsets[0] * bytes.a, a_step, b + offsets[1] * bytes.b, b_step, y + at * bytes.y, n);
    });
  });
}

Result<KernelPtr> plan_binary_run(const NodeRequest& request, BinaryRun run, DType result) {
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& b = request.inputs[1];
  MOTET_ASSIGN(Shape shape, broadcast_shape(a.shape, b.shape));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, result, shape));
  const auto size = [](DType dtype) { return static_cast<int64_t>(dtype_bytes(dtype)); };
  const ElementBytes bytes{size(a.dtype), size(b.dtype), size(result)};
  int in_place = -1;
  if (a.shape == shape && bytes.a == bytes.y) in_place = 0;
  if (in_place < 0 && b.shape == shape && bytes.b == bytes.y) in_place = 1;
  BroadcastPlan plan = BroadcastPlan::make(shape, {a.shape, b.shape});
  const auto flops = static_cast<double>(plan.elements);
  return make_kernel(
      [plan = std::move(plan), run, bytes](const KernelArgs& args, device::Team& team) {
        run_broadcast(plan, run, bytes, args.inputs[0].data, args.inputs[1].data, args.outputs[0].data, team);
      },
      {.in_place_of = in_place, .flops = flops});
}

namespace {

std::optional<vec::Binary> fast_form(std::string_view op) {
  if (op == "Add") return vec::Binary::kAdd;
  if (op == "Sub") return vec::Binary::kSub;
  if (op == "Mul") return vec::Binary::kMul;
  if (op == "Div") return vec::Binary::kDiv;
  return std::nullopt;
}

// The loop of plan_fast where an operand is bf16.
auto widened_run(BroadcastPlan plan, vec::Binary kind, DType a, DType b, DType y) {
  return [plan = std::move(plan), kind, a, b, y](const KernelArgs& args, device::Team& team) {
    const int64_t a_step = plan.inner_step(0), b_step = plan.inner_step(1);
    team.for_range(plan.elements, kGrain, [&](int64_t begin, int64_t end) {
      Block a_block, b_block;
      plan.for_runs(begin, end, [&](int64_t at, int64_t n, const int64_t* offsets) {
        for_blocks(0, n, [&](int64_t first, int64_t count) {
          const float* left =
              widened(a, args.inputs[0].data, offsets[0] + first * a_step, a_step == 0 ? 1 : count, a_block);
          const float* right =
              widened(b, args.inputs[1].data, offsets[1] + first * b_step, b_step == 0 ? 1 : count, b_block);
          float* to = result_block(y, args.outputs[0].data, at + first, a_block);
          vec::loops().binary(kind, left, a_step, right, b_step, to, count);
          store_widened(y, to, args.outputs[0].data, at + first, count);
        });
      });
    });
  };
}

// Add, Sub, Mul, Div of f32 and bf16, in any layout that the operands share.
Result<KernelPtr> plan_fast(const NodeRequest& request, vec::Binary kind) {
  MOTET_ASSIGN(Shape shape, broadcast_shape(request.inputs[0].shape, request.inputs[1].shape));
  const DType result = request.outputs[0].dtype;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, result, shape));
  // A scalar added to padding would not leave it zero, nor would a quotient of zeros.
  const bool scalar = elements(request.inputs[0].shape) == 1 || elements(request.inputs[1].shape) == 1;
  const bool keeps_zero = kind == vec::Binary::kMul || (kind != vec::Binary::kDiv && !scalar);
  const Layout layout = common_layout(request, 2, keeps_zero);
  std::vector<Layout> layouts;
  std::vector<Shape> shapes;
  int in_place = -1;
  for (int i = 1; i >= 0; --i) {
    TensorSpec spec = request.inputs[static_cast<size_t>(i)];
    if (spec.shape == shape && spec.dtype == result) in_place = i;
    const bool single = elements(spec.shape) == 1 && spec.layout == Layout::kRowMajor;
    spec.layout = single ? Layout::kRowMajor : layout;
    layouts.insert(layouts.begin(), spec.layout);
    shapes.insert(shapes.begin(), single ? Shape{} : physical_shape(spec));
  }
  BroadcastPlan plan = BroadcastPlan::make(physical_shape({result, shape, layout}), shapes);
  const auto flops = static_cast<double>(plan.elements);
  const DType a_type = request.inputs[0].dtype, b_type = request.inputs[1].dtype;
  if (a_type != DType::kF32 || b_type != DType::kF32 || result != DType::kF32) {
    return make_kernel(widened_run(std::move(plan), kind, a_type, b_type, result),
                       {.in_place_of = in_place, .flops = flops, .input_layouts = layouts, .output_layout = layout});
  }
  return make_kernel(
      [plan = std::move(plan), kind](const KernelArgs& args, device::Team& team) {
        const auto* a = input_data<float>(args, 0);
        const auto* b = input_data<float>(args, 1);
        auto* y = output_data<float>(args, 0);
        const vec::Loops& loops = vec::loops();
        team.for_range(plan.elements, kGrain, [&](int64_t begin, int64_t end) {
          plan.for_runs(begin, end, [&](int64_t at, int64_t n, const int64_t* offsets) {
            loops.binary(kind, a + offsets[0], plan.inner_step(0), b + offsets[1], plan.inner_step(1), y + at, n);
          });
        });
      },
      {.in_place_of = in_place, .flops = flops, .input_layouts = layouts, .output_layout = layout});
}

template <class T>
T divided(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a / b;
  } else {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(uint64_t{0} - static_cast<uint64_t>(a));
    }
    return static_cast<T>(a / b);
  }
}

// The remainder with the sign of the divisor, as Python's %.
template <class T>
T modulo(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    T r = std::fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  } else {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    T r = static_cast<T>(a % b);
    return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
  }
}

// The remainder with the sign of the dividend, as C's fmod.
template <class T>
T truncated_modulo(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::fmod(a, b);
  } else {
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
}

template <class T>
BinaryRun number_run(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "Add") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(wrap(a) + wrap(b)); });
  if (op == "Sub") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(wrap(a) - wrap(b)); });
  if (op == "Mul") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(wrap(a) * wrap(b)); });
  if (op == "Div") return run_of<T, T, T>([](T a, T b) { return divided(a, b); });
  if (op == "PRelu") return run_of<T, T, T>([](T a, T b) { return a < 0 ? static_cast<T>(wrap(a) * wrap(b)) : a; });
  if (op == "Mod") {
    if (node.int_or("fmod", 0) != 0) return run_of<T, T, T>([](T a, T b) { return truncated_modulo(a, b); });
    return run_of<T, T, T>([](T a, T b) { return modulo(a, b); });
  }
  return nullptr;
}

template <class T>
BinaryRun bit_run(const graph::Node& node) {
  const std::string& op = node.op;
  if (op == "BitwiseAnd") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(a & b); });
  if (op == "BitwiseOr") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(a | b); });
  if (op == "BitwiseXor") return run_of<T, T, T>([](T a, T b) { return static_cast<T>(a ^ b); });
  if constexpr (std::is_unsigned_v<T>) {
    constexpr T kBits = sizeof(T) * 8;
    if (op == "BitShift" && node.string_or("direction", "") == "LEFT") {
      return run_of<T, T, T>([](T a, T b) { return b < kBits ? static_cast<T>(static_cast<uint64_t>(a) << b) : T(0); });
    }
    if (op == "BitShift" && node.string_or("direction", "") == "RIGHT") {
      return run_of<T, T, T>([](T a, T b) { return b < kBits ? static_cast<T>(a >> b) : T(0); });
    }
  }
  return nullptr;
}

BinaryRun logical_run(std::string_view op) {
  if (op == "And") return run_of<bool, bool, bool>([](bool a, bool b) { return a && b; });
  if (op == "Or") return run_of<bool, bool, bool>([](bool a, bool b) { return a || b; });
  if (op == "Xor") return run_of<bool, bool, bool>([](bool a, bool b) { return a != b; });
  return nullptr;
}

Status same_type(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  if (request.inputs[0].dtype == request.inputs[1].dtype) return {};
  return unsupported(describe(request.inputs[0]) + " and " + describe(request.inputs[1]) + " are of different types");
}

template <class T>
BinaryRun comparing_run(std::string_view op) {
  if (op == "Equal") return run_of<T, T, bool>([](T a, T b) { return a == b; });
  if constexpr (!std::is_same_v<T, bool> && !std::is_same_v<T, std::string_view>) {
    if (op == "Less") return run_of<T, T, bool>([](T a, T b) { return a < b; });
    if (op == "LessOrEqual") return run_of<T, T, bool>([](T a, T b) { return a <= b; });
    if (op == "Greater") return run_of<T, T, bool>([](T a, T b) { return a > b; });
    if (op == "GreaterOrEqual") return run_of<T, T, bool>([](T a, T b) { return a >= b; });
  }
  return nullptr;
}

template <class A, class B>
A power(A a, B b) {
  if constexpr (std::is_floating_point_v<A>) {
    if (b == B(2)) return a * a;
    return static_cast<A>(std::pow(a, static_cast<A>(b)));
  } else if constexpr (std::is_floating_point_v<B>) {
    return converted<A>(std::pow(static_cast<double>(a), static_cast<double>(b)));
  } else {
    if constexpr (std::is_signed_v<B>) {
      if (b < 0) return a == A(1) ? A(1) : a == static_cast<A>(-1) ? (b % 2 == 0 ? A(1) : a) : A(0);
    }
    uint64_t result = 1, base = static_cast<uint64_t>(a);
    for (auto e = static_cast<uint64_t>(b); e != 0; e >>= 1, base *= base) {
      if (e & 1) result *= base;
    }
    return static_cast<A>(result);
  }
}

}  // namespace

Result<KernelPtr> plan_arithmetic(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const auto fast = [](DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; };
  if (fast(request.inputs[0].dtype) && fast(request.inputs[1].dtype) && fast(request.outputs[0].dtype)) {
    if (auto kind = fast_form(request.node.op)) return plan_fast(request, *kind);
  }
  MOTET_RETURN_IF_ERROR(same_type(request));
  const DType dtype = request.inputs[0].dtype;
  BinaryRun run = nullptr;
  for_number_type(dtype, [&]<class T>(T) {
    run = number_run<T>(request.node);
    if constexpr (!std::is_floating_point_v<T>) {
      if (run == nullptr) run = bit_run<T>(request.node);
    }
  });
  if (dtype == DType::kBool) run = logical_run(request.node.op);
  if (run == nullptr) return unsupported(request.node.op + " of " + describe(request.inputs[0]));
  return plan_binary_run(request, run, dtype);
}

Result<KernelPtr> plan_comparison(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(same_type(request));
  BinaryRun run = nullptr;
  const DType dtype = request.inputs[0].dtype;
  for_number_type(dtype, [&]<class T>(T) { run = comparing_run<T>(request.node.op); });
  if (dtype == DType::kBool) run = comparing_run<bool>(request.node.op);
  if (dtype == DType::kString) run = comparing_run<std::string_view>(request.node.op);
  if (run == nullptr) return unsupported(request.node.op + " of " + describe(request.inputs[0]));
  return plan_binary_run(request, run, DType::kBool);
}

Result<KernelPtr> plan_pow(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  BinaryRun run = nullptr;
  const DType base = request.inputs[0].dtype;
  const DType exponent = request.inputs[1].dtype;
  auto with_base = [&]<class A>(A) {
    for_number_type(exponent, [&]<class B>(B) { run = run_of<A, B, A>([](A a, B b) { return power(a, b); }); });
  };
  if (base == DType::kF32) with_base(float{});
  if (base == DType::kF64) with_base(double{});
  if (base == DType::kI32) with_base(int32_t{});
  if (base == DType::kI64) with_base(int64_t{});
  if (run == nullptr)
    return unsupported("Pow of " + describe(request.inputs[0]) + " and " + describe(request.inputs[1]));
  return plan_binary_run(request, run, base);
}

}  // namespace motet::ops
