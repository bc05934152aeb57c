// Matrix products and Einsum.
#include <algorithm>
#include <map>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

// Numpy's matmul: batch dimensions broadcast, vectors are promoted and their dimension dropped again.
Result<std::optional<SymShape>> product(const Inference& n, size_t left, size_t right) {
  MOTET_RETURN_IF_ERROR(n.check_rank(left, 1));
  MOTET_RETURN_IF_ERROR(n.check_rank(right, 1));
  const SymShape* a = n.shape(left);
  const SymShape* b = n.shape(right);
  if (a == nullptr || b == nullptr) return std::optional<SymShape>();
  SymShape x = *a, y = *b;
  bool row = x.size() == 1, column = y.size() == 1;
  if (row) x.insert(x.begin(), dim_of(1));
  if (column) y.push_back(dim_of(1));
  const Dim& inner_a = x.back();
  const Dim& inner_b = y[y.size() - 2];
  if (conflict(inner_a, inner_b)) {
    return n.error("cannot multiply " + shape_text(*a) + " by " + shape_text(*b) + ": inner extents " +
                   std::to_string(inner_a.extent) + " and " + std::to_string(inner_b.extent) + " differ");
  }
  MOTET_ASSIGN(SymShape out, broadcast(n, SymShape(x.begin(), x.end() - 2), SymShape(y.begin(), y.end() - 2)));
  if (!row) out.push_back(x[x.size() - 2]);
  if (!column) out.push_back(y.back());
  return std::optional(std::move(out));
}

Status matmul(Inference& n) {
  MOTET_ASSIGN(auto shape, product(n, 0, 1));
  n.set(0, n.dtype(0), shape);
  return {};
}

Status matmul_integer(Inference& n) {
  MOTET_ASSIGN(auto shape, product(n, 0, 1));
  n.set(0, DType::kI32, shape);
  return {};
}

Status qlinear_matmul(Inference& n) {
  MOTET_ASSIGN(auto shape, product(n, 0, 3));
  n.set(0, n.dtype(7), shape);
  return {};
}

// (a, scale, zero, b, scale, zero, bias, scale of y, zero of y)
Status qgemm(Inference& n) {
  const SymShape* a = n.shape(0);
  const SymShape* b = n.shape(3);
  SymShape to = unknown_shape(2);
  if (a != nullptr && a->size() == 2) to[0] = (*a)[n.node().int_or("transA", 0) != 0 ? 1 : 0];
  if (b != nullptr && b->size() == 2) to[1] = (*b)[n.node().int_or("transB", 0) != 0 ? 0 : 1];
  bool real = n.node().inputs.size() < 9 || n.node().inputs[8] == kNoValue;
  n.set(0, real ? DType::kF32 : n.dtype(8), to);
  return {};
}

Status gemm(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 2, 2));
  MOTET_RETURN_IF_ERROR(n.check_rank(1, 2, 2));
  const SymShape* a = n.shape(0);
  const SymShape* b = n.shape(1);
  SymShape to = unknown_shape(2);
  size_t ta = n.node().int_or("transA", 0) != 0 ? 1 : 0;
  size_t tb = n.node().int_or("transB", 0) != 0 ? 1 : 0;
  if (a != nullptr) to[0] = (*a)[ta];
  if (b != nullptr) to[1] = (*b)[1 - tb];
  if (a != nullptr && b != nullptr && conflict((*a)[1 - ta], (*b)[tb])) {
    return n.error("cannot multiply " + shape_text(*a) + " by " + shape_text(*b) + ": inner extents " +
                   std::to_string((*a)[1 - ta].extent) + " and " + std::to_string((*b)[tb].extent) + " differ");
  }
  if (const SymShape* c = n.shape(2)) {
    MOTET_ASSIGN(SymShape sum, broadcast(n, to, *c));
    if (sum.size() != 2 || conflict(sum[0], to[0]) || conflict(sum[1], to[1])) {
      return n.error("C of shape " + shape_text(*c) + " does not broadcast to " + shape_text(to));
    }
  }
  n.set(0, n.dtype(0), to);
  return {};
}

// The letters of one term; "..." is told by `dots`, the position where it stands.
struct Term {
  std::string letters;
  std::optional<size_t> dots;
};

Result<Term> parse_term(const Inference& n, std::string_view text) {
  Term out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (text.substr(i).starts_with("...")) {
      if (out.dots) return n.error("equation has two '...' in one term");
      out.dots = out.letters.size();
      i += 2;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      out.letters += c;
    } else {
      return n.error("equation holds a character other than letters, ',', '->' and '...'");
    }
  }
  return out;
}

struct Equation {
  std::vector<Term> inputs;
  std::optional<Term> output;
};

Result<Equation> parse_equation(const Inference& n) {
  std::string text = n.node().string_or("equation", "");
  std::erase(text, ' ');
  Equation out;
  std::string_view left = text;
  size_t arrow = left.find("->");
  if (arrow != std::string_view::npos) {
    MOTET_ASSIGN(out.output, parse_term(n, left.substr(arrow + 2)));
    left = left.substr(0, arrow);
  }
  while (true) {
    size_t comma = left.find(',');
    MOTET_ASSIGN(Term term, parse_term(n, left.substr(0, comma)));
    out.inputs.push_back(std::move(term));
    if (comma == std::string_view::npos) break;
    left.remove_prefix(comma + 1);
  }
  if (out.inputs.size() != n.input_count()) {
    return n.error("equation has " + std::to_string(out.inputs.size()) + " terms for " +
                   std::to_string(n.input_count()) + " inputs");
  }
  return out;
}

// Without "->" the result has the letters that occur once, sorted, after the dots.
Term implied_output(const Equation& equation, bool dots) {
  std::map<char, int> uses;
  for (const Term& term : equation.inputs)
    for (char c : term.letters) ++uses[c];
  Term out;
  if (dots) out.dots = 0;
  for (auto [c, count] : uses)
    if (count == 1) out.letters += c;
  return out;
}

Status einsum(Inference& n) {
  MOTET_ASSIGN(Equation equation, parse_equation(n));
  std::map<char, Dim> extents;
  SymShape dots;
  bool any_dots = false;
  for (size_t i = 0; i < n.input_count(); ++i) {
    const SymShape* shape = n.shape(i);
    const Term& term = equation.inputs[i];
    if (shape == nullptr) {
      n.set(0, n.dtype(0), std::nullopt);
      return {};
    }
    if (shape->size() < term.letters.size() || (!term.dots && shape->size() != term.letters.size())) {
      return n.error("term '" + term.letters + "' does not match shape " + shape_text(*shape));
    }
    size_t hidden = shape->size() - term.letters.size();
    for (size_t d = 0; d < term.letters.size(); ++d) {
      const Dim& dim = (*shape)[term.dots && d >= *term.dots ? d + hidden : d];
      auto [at, fresh] = extents.emplace(term.letters[d], dim);
      if (fresh) continue;
      if (conflict(at->second, dim) && at->second.extent != 1 && dim.extent != 1) {
        return n.error(std::string("letter '") + term.letters[d] + "' stands for " + std::to_string(at->second.extent) +
                       " and " + std::to_string(dim.extent));
      }
      at->second = at->second.known() && at->second.extent == 1 ? dim : merge(at->second, dim);
    }
    if (!term.dots) continue;
    any_dots = true;
    auto from = shape->begin() + static_cast<std::ptrdiff_t>(*term.dots);
    MOTET_ASSIGN(dots, broadcast(n, dots, SymShape(from, from + static_cast<std::ptrdiff_t>(hidden))));
  }
  Term output = equation.output ? *equation.output : implied_output(equation, any_dots);
  SymShape to;
  for (size_t d = 0; d <= output.letters.size(); ++d) {
    if (output.dots == d) to.insert(to.end(), dots.begin(), dots.end());
    if (d == output.letters.size()) break;
    auto found = extents.find(output.letters[d]);
    if (found == extents.end()) return n.error(std::string("result letter '") + output.letters[d] + "' is in no input");
    to.push_back(found->second);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status det(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 2));
  const SymShape* x = n.shape(0);
  n.set(0, n.dtype(0), x == nullptr ? std::nullopt : std::optional(SymShape(x->begin(), x->end() - 2)));
  return {};
}

constexpr RuleRow kRules[] = {
    {"MatMul", matmul}, {"MatMulInteger", matmul_integer}, {"QLinearMatMul", qlinear_matmul},
    {"Gemm", gemm},     {"com.microsoft:QGemm", qgemm},    {"Einsum", einsum},
    {"Det", det},
};

}  // namespace

std::span<const RuleRow> linear_rules() { return kRules; }

}  // namespace motet::graph
