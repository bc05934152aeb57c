// Activations that exporters spell out:
//   Gelu       x * 0.5 * (1 + erf(x / sqrt 2))
//   Gelu tanh  x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))      (Hendrycks and Gimpel, 2016)
//   HardSwish  x * HardSigmoid(x; 1/6, 1/2), x * Clip(x + 3, 0, 6) / 6      (Howard et al., 2019)
//   Swish      x * Sigmoid(x)
// Products are compared as bags of factors, so that the order of operands and the place of constants do not matter.
#include <algorithm>
#include <array>
#include <cmath>

#include "compute/graph/infer.h"
#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

constexpr double kTolerance = 1e-4;
constexpr double kSqrtHalf = 0.70710678118654752;
constexpr double kSqrtTwoOverPi = 0.79788456080286536;
constexpr double kCubic = 0.044715;
// Products nested deeper are not opened.
constexpr int kMaxDepth = 10;

bool close(double a, double b) { return std::abs(a - b) <= kTolerance * std::abs(b); }

// constant * product of factors.
struct Product {
  double constant = 1;
  std::vector<ValueId> factors;  // sorted
};

class Patterns {
 public:
  explicit Patterns(Graph& graph) : rewriter_(graph) {}

  int run() {
    int rewrites = 0;
    // From the end, so that the whole of a pattern is seen before its parts.
    for (int i = rewriter_.node_count() - 1; i >= 0; --i) {
      if (rewriter_.removed(i)) continue;
      const Node& node = rewriter_.node(i);
      bool root = (node.op == "Mul" || node.op == "Div") && node.domain.empty() && node.post_ops.empty();
      if (root && match(i)) ++rewrites;
    }
    rewriter_.finish();
    return rewrites;
  }

 private:
  const Node* maker(ValueId id, std::string_view op) const {
    int index = rewriter_.maker(id);
    if (index < 0 || rewriter_.removed(index)) return nullptr;
    const Node& node = rewriter_.node(index);
    return node.op == op && node.domain.empty() && node.post_ops.empty() ? &node : nullptr;
  }

  // Multiplies `id` to the product; products inside are opened, below the root only those that nobody else reads.
  void collect(ValueId id, double power, bool root, int depth, Product& out) const {
    auto number = scalar_of(rewriter_.value(id));
    if (number && *number != 0 && std::isfinite(*number)) {
      out.constant *= std::pow(static_cast<double>(*number), power);
      return;
    }
    bool open = (root || rewriter_.read_once(id)) && depth < kMaxDepth;
    const Node* mul = open && power == 1 ? maker(id, "Mul") : nullptr;
    const Node* div = open && power == 1 ? maker(id, "Div") : nullptr;
    // A constant divisor only.
    if (div != nullptr && !scalar_of(rewriter_.value(div->inputs[1]))) div = nullptr;
    if (mul != nullptr && out.factors.size() < 8) {
      collect(mul->inputs[0], 1, false, depth + 1, out);
      collect(mul->inputs[1], 1, false, depth + 1, out);
    } else if (div != nullptr) {
      collect(div->inputs[0], 1, false, depth + 1, out);
      collect(div->inputs[1], -1, false, depth + 1, out);
    } else if (const Node* cube = open ? maker(id, "Pow") : nullptr; cube != nullptr && power == 1) {
      auto exponent = scalar_of(rewriter_.value(cube->inputs[1]));
      bool small = exponent && (*exponent == 2 || *exponent == 3);
      out.factors.insert(out.factors.end(), small ? static_cast<size_t>(*exponent) : 1, small ? cube->inputs[0] : id);
    } else {
      out.factors.push_back(id);
    }
  }

  Product product(ValueId id, bool root = false) const {
    Product out;
    collect(id, 1, root, 0, out);
    std::sort(out.factors.begin(), out.factors.end());
    return out;
  }

  bool is_power(const Product& p, ValueId x, size_t exponent) const {
    return p.factors.size() == exponent &&
           std::all_of(p.factors.begin(), p.factors.end(), [&](ValueId f) { return f == x; });
  }

  // The other operand of `id` = other + number (or number + other).
  ValueId plus(ValueId id, double number) const {
    const Node* add = maker(id, "Add");
    if (add == nullptr) return kNoValue;
    for (size_t i = 0; i < 2; ++i) {
      auto constant = scalar_of(rewriter_.value(add->inputs[i]));
      if (constant && close(*constant, number)) return add->inputs[1 - i];
    }
    return kNoValue;
  }

  // sqrt(2/pi) * (x + 0.044715 x^3), also as x * sqrt(2/pi) * (1 + 0.044715 x^2).
  bool is_tanh_argument(ValueId id, ValueId x) const {
    Product outer = product(id);
    if (!close(outer.constant, kSqrtTwoOverPi)) return false;
    if (outer.factors.size() == 1) {
      const Node* sum = maker(outer.factors[0], "Add");
      for (size_t i = 0; sum != nullptr && i < 2; ++i) {
        Product cubic = product(sum->inputs[1 - i]);
        if (sum->inputs[i] == x && close(cubic.constant, kCubic) && is_power(cubic, x, 3)) return true;
      }
      return false;
    }
    if (outer.factors.size() != 2) return false;
    for (size_t i = 0; i < 2; ++i) {
      ValueId square = plus(outer.factors[1 - i], 1);
      if (outer.factors[i] != x || square == kNoValue) continue;
      Product p = product(square);
      if (close(p.constant, kCubic) && is_power(p, x, 2)) return true;
    }
    return false;
  }

  // The op that stands for constant * x * gate, with its approximation; nullopt if none does.
  std::optional<Node> whole(double constant, ValueId x, ValueId gate) const {
    Node out;
    if (ValueId inner = plus(gate, 1); inner != kNoValue && close(constant, 0.5)) {
      out.op = "Gelu";
      out.opset = 20;
      if (const Node* erf = maker(inner, "Erf")) {
        Product argument = product(erf->inputs[0]);
        if (!close(argument.constant, kSqrtHalf) || !is_power(argument, x, 1)) return std::nullopt;
        out.attributes.emplace("approximate", std::string("none"));
        return out;
      }
      const Node* tanh = maker(inner, "Tanh");
      if (tanh == nullptr || !is_tanh_argument(tanh->inputs[0], x)) return std::nullopt;
      out.attributes.emplace("approximate", std::string("tanh"));
      return out;
    }
    if (const Node* sigmoid = maker(gate, "Sigmoid"); sigmoid != nullptr && sigmoid->inputs[0] == x && constant == 1) {
      out.op = "Swish";
      out.opset = 24;
      return out;
    }
    out.op = "HardSwish";
    out.opset = 14;
    if (const Node* hard = maker(gate, "HardSigmoid"); hard != nullptr && hard->inputs[0] == x && constant == 1) {
      bool standard = close(hard->float_or("alpha", 0.2F), 1.0 / 6) && close(hard->float_or("beta", 0.5F), 0.5);
      return standard ? std::optional(out) : std::nullopt;
    }
    if (const Node* clip = maker(gate, "Clip");
        clip != nullptr && close(constant, 1.0 / 6) && plus(clip->inputs[0], 3) == x) {
      auto low = clip->inputs.size() > 1 && clip->inputs[1] != kNoValue ? scalar_of(rewriter_.value(clip->inputs[1]))
                                                                        : clip->float_or("min", -1);
      auto high = clip->inputs.size() > 2 && clip->inputs[2] != kNoValue ? scalar_of(rewriter_.value(clip->inputs[2]))
                                                                         : clip->float_or("max", -1);
      if (low && high && *low == 0 && *high == 6) return out;
    }
    return std::nullopt;
  }

  bool match(int index) {
    const Node& root = rewriter_.node(index);
    if (root.outputs[0] == kNoValue) return false;
    const Value& y = rewriter_.value(root.outputs[0]);
    Product p = product(root.outputs[0], true);
    if (p.factors.size() != 2 || y.dtype != DType::kF32 || !y.shape) return false;
    for (size_t i = 0; i < 2; ++i) {
      ValueId x = p.factors[i], gate = p.factors[1 - i];
      const Value& source = rewriter_.value(x);
      if (source.dtype != DType::kF32 || !source.shape || !same(*source.shape, *y.shape)) continue;
      auto found = whole(p.constant, x, gate);
      if (!found || !private_below(root.outputs[0], x, 16)) continue;
      found->name = root.name;
      found->inputs = {x};
      found->outputs = {root.outputs[0]};
      remove_below(root.outputs[0], x);
      rewriter_.put(index, std::move(*found));
      return true;
    }
    return false;
  }

  // True if everything between x and the result is seen by the result only, so that nothing is computed twice.
  bool private_below(ValueId id, ValueId x, int budget) const {
    int index = rewriter_.maker(id);
    if (id == x || index < 0 || rewriter_.value(id).constant) return true;
    if (budget == 0) return false;
    for (ValueId input : rewriter_.node(index).inputs) {
      if (input == kNoValue || input == x || rewriter_.value(input).constant) continue;
      bool used_here = std::all_of(rewriter_.readers(input).begin(), rewriter_.readers(input).end(),
                                   [&](int r) { return r == index; });
      if (!used_here || rewriter_.seen_outside(input) || !private_below(input, x, budget - 1)) return false;
    }
    return true;
  }

  void remove_below(ValueId id, ValueId x) {
    int index = rewriter_.maker(id);
    const std::vector<ValueId> inputs = rewriter_.node(index).inputs;
    for (ValueId input : inputs) {
      bool inner = input != kNoValue && input != x && !rewriter_.value(input).constant && rewriter_.maker(input) >= 0;
      if (!inner || rewriter_.removed(rewriter_.maker(input))) continue;
      int below = rewriter_.maker(input);
      remove_below(input, x);
      rewriter_.remove(below);
    }
  }

  Rewriter rewriter_;
};

}  // namespace

Result<int> fuse_patterns(Graph& graph, const PassContext& context) {
  (void)context;
  return Patterns(graph).run();
}

}  // namespace motet::graph
