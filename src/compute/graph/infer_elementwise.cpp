// Ops that work element by element: one shape in, the same (or the broadcast) shape out.
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<SymShape> copy_of(const SymShape* shape) {
  return shape == nullptr ? std::nullopt : std::optional(*shape);
}

// The broadcast of inputs first..last-1, or nothing while the rank of one is unknown.
Result<std::optional<SymShape>> broadcast_inputs(const Inference& n, size_t first, size_t last) {
  std::optional<SymShape> out;
  for (size_t i = first; i < last; ++i) {
    if (!n.has(i)) continue;
    const SymShape* shape = n.shape(i);
    if (shape == nullptr) return std::optional<SymShape>();
    if (!out) {
      out = *shape;
      continue;
    }
    MOTET_ASSIGN(out, broadcast(n, *out, *shape));
  }
  return out;
}

// One type for all inputs from `first` on.
Result<std::optional<DType>> common_dtype(const Inference& n, size_t first) {
  std::optional<DType> out;
  for (size_t i = first; i < n.input_count(); ++i) {
    auto dtype = n.dtype(i);
    if (out && dtype && *out != *dtype) {
      return n.error("its inputs have types " + std::string(dtype_kserve_name(*out)) + " and " +
                     std::string(dtype_kserve_name(*dtype)) + "; they must be equal");
    }
    if (!out) out = dtype;
  }
  return out;
}

Status unary(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

Status identity(Inference& n) {
  MOTET_RETURN_IF_ERROR(unary(n));
  if (auto data = n.data(0)) n.set_data(0, *data);
  return {};
}

Status unary_bool(Inference& n) {
  n.set(0, DType::kBool, copy_of(n.shape(0)));
  return {};
}

std::optional<int64_t> apply(std::string_view op, int64_t a, int64_t b) {
  if (op == "Add") return checked_add(a, b);
  if (op == "Mul") return checked_multiply(a, b);
  if (op == "Sub") return b == INT64_MIN ? std::nullopt : checked_add(a, -b);
  if (op == "Div") return b == 0 || (a == INT64_MIN && b == -1) ? std::nullopt : std::optional(a / b);
  if (op == "Max") return std::max(a, b);
  if (op == "Min") return std::min(a, b);
  return std::nullopt;
}

// Integer arithmetic on what is known, element by element; a symbol survives where the other operand is neutral.
Int combine(std::string_view op, const Int& a, const Int& b) {
  if (a.value && b.value) return Int{apply(op, *a.value, *b.value), ""};
  bool additive = op == "Add" || op == "Sub";
  bool multiplicative = op == "Mul" || op == "Div";
  int64_t neutral = additive ? 0 : 1;
  if ((additive || multiplicative) && b.value == neutral) return a;
  if ((op == "Add" || op == "Mul") && a.value == neutral) return b;
  return {};
}

Status binary(Inference& n) {
  MOTET_ASSIGN(auto dtype, common_dtype(n, 0));
  MOTET_ASSIGN(auto shape, broadcast_inputs(n, 0, n.input_count()));
  n.set(0, dtype, shape);
  if (n.input_count() != 2 || (dtype != DType::kI64 && dtype != DType::kI32)) return {};
  auto a = n.data(0), b = n.data(1);
  if (!a || !b || (a->size() != b->size() && a->size() != 1 && b->size() != 1)) return {};
  IntData out;
  for (size_t i = 0; i < std::max(a->size(), b->size()); ++i) {
    out.push_back(combine(n.node().op, (*a)[a->size() == 1 ? 0 : i], (*b)[b->size() == 1 ? 0 : i]));
  }
  if (!a->empty() && !b->empty()) n.set_data(0, std::move(out));
  return {};
}

Status pow_rule(Inference& n) {
  MOTET_ASSIGN(auto shape, broadcast_inputs(n, 0, 2));
  n.set(0, n.dtype(0), shape);
  return {};
}

Status comparison(Inference& n) {
  MOTET_RETURN_IF_ERROR(common_dtype(n, 0));
  MOTET_ASSIGN(auto shape, broadcast_inputs(n, 0, 2));
  n.set(0, DType::kBool, shape);
  return {};
}

Status where_rule(Inference& n) {
  MOTET_ASSIGN(auto dtype, common_dtype(n, 1));
  MOTET_ASSIGN(auto shape, broadcast_inputs(n, 0, 3));
  n.set(0, dtype, shape);
  return {};
}

Status cast(Inference& n) {
  int64_t to = n.node().int_or("to", 0);
  auto dtype = to > 0 && to < 1000 ? dtype_from_onnx(static_cast<int>(to)) : std::nullopt;
  if (!dtype) return n.error("attribute 'to' is " + std::to_string(to) + "; accepted are 1 to 13 and 16");
  n.set(0, dtype, copy_of(n.shape(0)));
  auto from = n.dtype(0);
  bool exact = (dtype == DType::kI64 || dtype == DType::kI32) && (from == DType::kI64 || from == DType::kI32);
  if (!exact) return {};
  auto data = n.data(0);
  if (!data) return {};
  for (const Int& item : *data)
    if (dtype == DType::kI32 && item.value && (*item.value > INT32_MAX || *item.value < INT32_MIN)) return {};
  n.set_data(0, *data);
  return {};
}

Status cast_like(Inference& n) {
  n.set(0, n.dtype(1), copy_of(n.shape(0)));
  return {};
}

Status dropout(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  // Opset 7 and 9 give the mask the data's type; it is only ever read by training.
  n.set(1, n.node().opset >= 10 ? std::optional(DType::kBool) : n.dtype(0), copy_of(n.shape(0)));
  return {};
}

// The result has the first input's shape; the others broadcast into it.
Status one_way(Inference& n) {
  MOTET_ASSIGN(auto shape, broadcast_inputs(n, 0, 2));
  (void)shape;
  return unary(n);
}

Status random_like(Inference& n) {
  int64_t to = n.node().int_or("dtype", 0);
  auto dtype = to > 0 && to < 1000 ? dtype_from_onnx(static_cast<int>(to)) : n.dtype(0);
  n.set(0, dtype, copy_of(n.shape(0)));
  return {};
}

Status random_of_shape(Inference& n) {
  int64_t to = n.node().int_or("dtype", 1);
  auto dtype = to > 0 && to < 1000 ? dtype_from_onnx(static_cast<int>(to)) : std::nullopt;
  std::vector<int64_t> shape = n.node().ints_or("shape", {});
  auto sound = checked_elements(shape);
  if (!sound.ok()) return n.error(sound.error().message);
  n.set(0, dtype, shape_of(shape));
  return {};
}

constexpr RuleRow kRules[] = {
    {"Abs", unary},
    {"Acos", unary},
    {"Acosh", unary},
    {"Asin", unary},
    {"Asinh", unary},
    {"Atan", unary},
    {"Atanh", unary},
    {"BitwiseNot", unary},
    {"Ceil", unary},
    {"Celu", unary},
    {"Clip", unary},
    {"Cos", unary},
    {"Cosh", unary},
    {"Elu", unary},
    {"Erf", unary},
    {"Exp", unary},
    {"Floor", unary},
    {"Gelu", unary},
    {"HardSigmoid", unary},
    {"HardSwish", unary},
    {"Hardmax", unary},
    {"Identity", identity},
    {"LeakyRelu", unary},
    {"Log", unary},
    {"Mish", unary},
    {"Neg", unary},
    {"Reciprocal", unary},
    {"Relu", unary},
    {"Round", unary},
    {"Selu", unary},
    {"Shrink", unary},
    {"Sigmoid", unary},
    {"Sign", unary},
    {"Sin", unary},
    {"Sinh", unary},
    {"Softplus", unary},
    {"Softsign", unary},
    {"Sqrt", unary},
    {"Swish", unary},
    {"Tan", unary},
    {"Tanh", unary},
    {"ThresholdedRelu", unary},
    {"IsInf", unary_bool},
    {"IsNaN", unary_bool},
    {"Not", unary_bool},
    {"Add", binary},
    {"Sub", binary},
    {"Mul", binary},
    {"Div", binary},
    {"Mod", binary},
    {"Max", binary},
    {"Min", binary},
    {"Sum", binary},
    {"Mean", binary},
    {"And", comparison},
    {"Or", comparison},
    {"Xor", comparison},
    {"BitShift", binary},
    {"BitwiseAnd", binary},
    {"BitwiseOr", binary},
    {"BitwiseXor", binary},
    {"Pow", pow_rule},
    {"PRelu", one_way},
    {"Equal", comparison},
    {"Greater", comparison},
    {"GreaterOrEqual", comparison},
    {"Less", comparison},
    {"LessOrEqual", comparison},
    {"StringConcat", binary},
    {"Where", where_rule},
    {"Cast", cast},
    {"CastLike", cast_like},
    {"Dropout", dropout},
    {"Bernoulli", random_like},
    {"RandomNormalLike", random_like},
    {"RandomUniformLike", random_like},
    {"RandomNormal", random_of_shape},
    {"RandomUniform", random_of_shape},
};

}  // namespace

std::span<const RuleRow> elementwise_rules() { return kRules; }

}  // namespace motet::graph
