// Einsum: numpy's notation. Every label is one loop: those of the result outside, the others summed inside.
#include <algorithm>
#include <map>
#include <string>

#include "compute/ops/linear/linear.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// Axes that "..." stands for get labels of their own, counted from the last: the innermost is 1.
using Label = int;
constexpr Label kFirstLetter = 1000;
using Labels = std::vector<Label>;

struct Term {
  std::vector<char> letters;  // in order; '.' for "..."
};

Result<std::vector<Term>> terms_of(std::string_view text) {
  std::vector<Term> terms(1);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c == ' ') continue;
    if (c == ',') {
      terms.emplace_back();
    } else if (text.substr(i, 3) == "...") {
      terms.back().letters.push_back('.');
      i += 2;
    } else if (letter) {
      terms.back().letters.push_back(c);
    } else {
      return unsupported("the equation '" + std::string(text) + "' has '" + std::string(1, c) + "'");
    }
  }
  return terms;
}

// The labels of a term over `rank` axes.
Result<Labels> labels_of(const Term& term, size_t rank) {
  const auto dots = std::count(term.letters.begin(), term.letters.end(), '.');
  const size_t letters = term.letters.size() - static_cast<size_t>(dots);
  if (dots > 1 || letters > rank || (dots == 0 && letters != rank))
    return unsupported("a term of " + std::to_string(letters) + " labels for " + std::to_string(rank) + " axes");
  Labels labels;
  for (char c : term.letters) {
    if (c != '.') {
      labels.push_back(kFirstLetter + c);
      continue;
    }
    for (size_t k = rank - letters; k > 0; --k) labels.push_back(static_cast<Label>(k));
  }
  return labels;
}

struct Loop {
  int64_t extent = 1;
  Shape strides;  // per operand
};

struct Einsum {
  std::vector<Loop> outer, inner;  // of the result, in order; summed
  Shape shape;
  int64_t sums = 1;
};

Result<Labels> result_labels(std::string_view text, const std::vector<Labels>& operands, size_t dots) {
  if (auto arrow = text.find("->"); arrow != std::string_view::npos) {
    MOTET_ASSIGN(std::vector<Term> terms, terms_of(text.substr(arrow + 2)));
    if (terms.size() != 1) return unsupported("the equation '" + std::string(text) + "' has several results");
    const bool dotted = std::count(terms[0].letters.begin(), terms[0].letters.end(), '.') > 0;
    return labels_of(terms[0], terms[0].letters.size() - (dotted ? 1 : 0) + (dotted ? dots : 0));
  }
  // Implicit: the axes of "...", then what occurs once, sorted.
  std::map<Label, int> seen;
  for (const Labels& labels : operands)
    for (Label label : labels) ++seen[label];
  Labels result;
  for (size_t k = dots; k > 0; --k) result.push_back(static_cast<Label>(k));
  for (auto [label, times] : seen)
    if (label >= kFirstLetter && times == 1) result.push_back(label);
  return result;
}

Result<Einsum> parse(const NodeRequest& request) {
  const std::string text = request.node.string_or("equation", "");
  MOTET_ASSIGN(const std::vector<Term> terms, terms_of(std::string_view(text).substr(0, text.find("->"))));
  if (terms.size() != request.inputs.size())
    return unsupported("the equation '" + text + "' has " + std::to_string(terms.size()) + " terms for " +
                       std::to_string(request.inputs.size()) + " operands");
  std::vector<Labels> operands;
  std::map<Label, int64_t> extents;
  size_t dots = 0;
  for (size_t i = 0; i < terms.size(); ++i) {
    const Shape& shape = request.inputs[i].shape;
    MOTET_ASSIGN(Labels labels, labels_of(terms[i], shape.size()));
    for (size_t d = 0; d < labels.size(); ++d) {
      if (labels[d] < kFirstLetter) dots = std::max(dots, static_cast<size_t>(labels[d]));
      auto [known, fresh] = extents.emplace(labels[d], shape[d]);
      if (known->second == 1) known->second = shape[d];
      if (shape[d] != 1 && shape[d] != known->second)
        return unsupported("one label of '" + text + "' is " + std::to_string(known->second) + " and " +
                           std::to_string(shape[d]));
    }
    operands.push_back(std::move(labels));
  }
  MOTET_ASSIGN(const Labels result, result_labels(text, operands, dots));
  Einsum e;
  auto loop = [&](Label label) {
    Loop l{extents.at(label), {}};
    for (size_t i = 0; i < operands.size(); ++i) {
      const Shape strides = strides_of(request.inputs[i].shape);
      int64_t stride = 0;  // a label may occur twice in a term: its diagonal
      for (size_t d = 0; d < operands[i].size(); ++d)
        if (operands[i][d] == label && request.inputs[i].shape[d] != 1) stride += strides[d];
      l.strides.push_back(stride);
    }
    return l;
  };
  for (Label label : result) {
    if (!extents.contains(label) || std::count(result.begin(), result.end(), label) > 1)
      return unsupported("the result of '" + text + "' has a label that no term has, or one twice");
    e.outer.push_back(loop(label));
    e.shape.push_back(extents.at(label));
  }
  for (auto [label, extent] : extents) {
    if (std::find(result.begin(), result.end(), label) != result.end()) continue;
    e.inner.push_back(loop(label));
    auto product = checked_multiply(e.sums, extent);
    if (!product) return unsupported("'" + text + "' sums more than any memory holds");
    e.sums = *product;
  }
  return e;
}

// Adds to `offsets` where element `at` of the loops lies.
void locate(const std::vector<Loop>& loops, int64_t at, Shape& offsets) {
  for (size_t l = loops.size(); l-- > 0; at /= loops[l].extent) {
    const int64_t i = at % loops[l].extent;
    for (size_t o = 0; o < offsets.size(); ++o) offsets[o] += i * loops[l].strides[o];
  }
}

template <class T>
T element(const Einsum& e, const KernelArgs& args, const Shape& base) {
  using Sum = std::conditional_t<std::is_same_v<T, float>, double, T>;
  Sum sum = 0;
  Shape index(e.inner.size(), 0), at = base;
  for (int64_t s = 0; s < e.sums; ++s) {
    Sum term = 1;
    for (size_t o = 0; o < at.size(); ++o)
      term = static_cast<Sum>(term * static_cast<Sum>(input_data<T>(args, o)[at[o]]));
    sum = static_cast<Sum>(sum + term);
    for (size_t l = e.inner.size(); l-- > 0;) {
      const Loop& loop = e.inner[l];
      ++index[l];
      for (size_t o = 0; o < at.size(); ++o) at[o] += loop.strides[o];
      if (index[l] < loop.extent) break;
      for (size_t o = 0; o < at.size(); ++o) at[o] -= loop.extent * loop.strides[o];
      index[l] = 0;
    }
  }
  return static_cast<T>(sum);
}

}  // namespace

Result<KernelPtr> plan_einsum(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 64));
  const DType dtype = request.inputs[0].dtype;
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (!request.present[i] || request.inputs[i].dtype != dtype)
      return unsupported("its operands are of different types");
  MOTET_ASSIGN(const Einsum e, parse(request));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, e.shape));
  const int64_t count = elements(e.shape);
  const size_t operands = request.inputs.size();
  KernelPtr kernel;
  for_number_type(dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [e, count, operands](const KernelArgs& args, device::Team& team) {
          team.for_range(count, std::max<int64_t>(1, kGrain / std::max<int64_t>(e.sums, 1)),
                         [&](int64_t begin, int64_t end) {
                           Shape at(operands);
                           for (int64_t i = begin; i < end; ++i) {
                             std::fill(at.begin(), at.end(), 0);
                             locate(e.outer, i, at);
                             output_data<T>(args, 0)[i] = element<T>(e, args, at);
                           }
                         });
        },
        {.flops = static_cast<double>(operands) * static_cast<double>(count) * static_cast<double>(e.sums)});
  });
  if (kernel == nullptr) return unsupported("of " + describe(request.inputs[0]));
  return kernel;
}

}  // namespace motet::ops
