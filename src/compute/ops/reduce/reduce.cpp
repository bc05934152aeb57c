#include "compute/ops/reduce/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

enum class Kind : uint8_t { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kLogSum, kLogSumExp, kSumSquare };

Kind kind_of(std::string_view op) {
  if (op == "ReduceMean") return Kind::kMean;
  if (op == "ReduceMax") return Kind::kMax;
  if (op == "ReduceMin") return Kind::kMin;
  if (op == "ReduceProd") return Kind::kProd;
  if (op == "ReduceL1") return Kind::kL1;
  if (op == "ReduceL2") return Kind::kL2;
  if (op == "ReduceLogSum") return Kind::kLogSum;
  if (op == "ReduceLogSumExp") return Kind::kLogSumExp;
  if (op == "ReduceSumSquare") return Kind::kSumSquare;
  return Kind::kSum;
}

// Axes merged into groups that alternate between kept and reduced.
struct Groups {
  Shape kept, kept_strides;  // of the input, in elements
  Shape reduced, reduced_strides;
  int64_t results = 1, each = 1;  // elements kept, and folded into one

  // The input's element for result `r`, and for folded element `k` from there.
  static int64_t offset(const Shape& extents, const Shape& strides, int64_t index) {
    int64_t at = 0;
    for (size_t d = extents.size(); d-- > 0;) {
      at += index % extents[d] * strides[d];
      index /= extents[d];
    }
    return at;
  }
};

Groups groups_of(const Shape& shape, const std::vector<bool>& reduce) {
  Groups g;
  const Shape strides = strides_of(shape);
  int last = -1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    Shape& extents = reduce[d] ? g.reduced : g.kept;
    Shape& steps = reduce[d] ? g.reduced_strides : g.kept_strides;
    if (last == static_cast<int>(reduce[d])) {
      extents.back() *= shape[d];
      steps.back() = strides[d];
    } else {
      extents.push_back(shape[d]);
      steps.push_back(strides[d]);
    }
    last = reduce[d];
  }
  g.results = elements(g.kept);
  g.each = elements(g.reduced);
  return g;
}

template <class T>
T start_of(Kind kind) {
  using Limits = std::numeric_limits<T>;
  if (kind == Kind::kMax || kind == Kind::kLogSumExp)
    return Limits::has_infinity ? static_cast<T>(-Limits::infinity()) : Limits::lowest();
  if (kind == Kind::kMin) return Limits::has_infinity ? Limits::infinity() : Limits::max();
  return kind == Kind::kProd ? T(1) : T(0);
}

// Folds x into a. kLogSumExp looks for the greatest first; its sum comes later.
template <class T>
T fold(Kind kind, T a, T x) {
  switch (kind) {
    case Kind::kMax:
    case Kind::kLogSumExp: return x > a || x != x ? x : a;
    case Kind::kMin: return x < a || x != x ? x : a;
    case Kind::kProd: return static_cast<T>(wrap(a) * wrap(x));
    case Kind::kL1: return static_cast<T>(x < 0 ? wrap(a) - wrap(x) : wrap(a) + wrap(x));
    case Kind::kL2:
    case Kind::kSumSquare: return static_cast<T>(wrap(a) + wrap(x) * wrap(x));
    default: return static_cast<T>(wrap(a) + wrap(x));
  }
}

template <class T>
T finish(Kind kind, T a, int64_t n) {
  if (kind == Kind::kMean) {
    if constexpr (std::is_integral_v<T>) {
      // Of integers, the mean of nothing is 0; of floats it is NaN.
      return n == 0 ? T(0) : static_cast<T>(static_cast<int64_t>(a) / n);
    } else {
      return a / static_cast<T>(n);
    }
  }
  if (kind == Kind::kL2) return static_cast<T>(std::sqrt(static_cast<double>(a)));
  if (kind == Kind::kLogSum) return static_cast<T>(std::log(static_cast<double>(a)));
  return a;
}

// A stretch of one row that lies together.
template <class T>
T fold_row(Kind kind, T a, const T* x, int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    const vec::Loops& loops = vec::loops();
    if (kind == Kind::kSum || kind == Kind::kMean || kind == Kind::kLogSum) return a + loops.sum(x, n);
    if (kind == Kind::kMax || kind == Kind::kLogSumExp) return fold(kind, a, loops.max(x, n));
    if (kind == Kind::kL2 || kind == Kind::kSumSquare) return a + loops.sum_of_squares(x, n);
  }
  for (int64_t i = 0; i < n; ++i) a = fold(kind, a, x[i]);
  return a;
}

// log(sum of exp), the greatest element `top` taken out of the sum first.
template <class T>
T log_sum_exp(const Groups& g, const T* x, T top) {
  if (std::isinf(static_cast<double>(top))) return top;
  double sum = 0;
  for (int64_t k = 0; k < g.each; ++k) {
    sum += std::exp(static_cast<double>(x[Groups::offset(g.reduced, g.reduced_strides, k)]) - static_cast<double>(top));
  }
  return static_cast<T>(static_cast<double>(top) + std::log(sum));
}

// One result after another: what is folded lies together, or is gathered.
template <class T>
void reduce_each(const Groups& g, Kind kind, const T* x, T* y, int64_t begin, int64_t end) {
  const bool together = !g.reduced.empty() && g.reduced_strides.back() == 1;
  const int64_t run = together ? g.reduced.back() : 1;
  for (int64_t r = begin; r < end; ++r) {
    const T* from = x + Groups::offset(g.kept, g.kept_strides, r);
    T a = start_of<T>(kind);
    for (int64_t k = 0; k < g.each; k += run) {
      a = fold_row(kind, a, from + Groups::offset(g.reduced, g.reduced_strides, k), run);
    }
    y[r] = kind == Kind::kLogSumExp ? log_sum_exp(g, from, a) : finish(kind, a, g.each);
  }
}

// Rows of results that lie together in the input as well: each folded element is a row added to a row.
template <class T>
void reduce_rows(const Groups& g, Kind kind, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t width = g.kept.back();
  for (int64_t row = begin; row < end; ++row) {
    T* to = y + row * width;
    const T* from = x + Groups::offset(g.kept, g.kept_strides, row * width);
    std::fill(to, to + width, start_of<T>(kind));
    for (int64_t k = 0; k < g.each; ++k) {
      const T* add = from + Groups::offset(g.reduced, g.reduced_strides, k);
      if (kind == Kind::kSum || kind == Kind::kMean) {
        for (int64_t i = 0; i < width; ++i) to[i] = static_cast<T>(wrap(to[i]) + wrap(add[i]));
      } else {
        for (int64_t i = 0; i < width; ++i) to[i] = fold(kind, to[i], add[i]);
      }
    }
    for (int64_t i = 0; i < width; ++i) {
      to[i] = kind == Kind::kLogSumExp ? log_sum_exp(g, from + i, to[i]) : finish(kind, to[i], g.each);
    }
  }
}

template <class T>
KernelPtr reduce_kernel(Groups g, Kind kind) {
  const bool rows = !g.kept.empty() && g.kept_strides.back() == 1 && g.each > 1;
  return make_kernel(
      [g = std::move(g), kind, rows](const KernelArgs& args, device::Team& team) {
        const T* x = input_data<T>(args, 0);
        T* y = output_data<T>(args, 0);
        const int64_t width = rows ? g.kept.back() : 1;
        const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, g.each * width));
        if (g.results == 0) return;
        team.for_range(g.results / width, grain, [&](int64_t begin, int64_t end) {
          rows ? reduce_rows<T>(g, kind, x, y, begin, end) : reduce_each<T>(g, kind, x, y, begin, end);
        });
      },
      {.flops = static_cast<double>(g.results) * static_cast<double>(g.each)});
}

}  // namespace

Result<KernelPtr> plan_reduce(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(auto axes, ints_of_input_or_attribute(request, 1, "axes"));
  const bool all = !axes || axes->empty();
  const bool nothing = all && request.node.int_or("noop_with_empty_axes", 0) != 0;
  const bool keep = request.node.int_or("keepdims", 1) != 0;
  std::vector<bool> reduce(in.shape.size(), all && !nothing);
  if (!all) {
    MOTET_ASSIGN(std::vector<size_t> normal, normalise_axes(*axes, in.shape.size()));
    for (size_t axis : normal) reduce[axis] = true;
  }
  Shape shape;
  for (size_t d = 0; d < in.shape.size(); ++d) {
    if (!reduce[d]) shape.push_back(in.shape[d]);
    if (reduce[d] && keep) shape.push_back(1);
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  const Kind kind = kind_of(request.node.op);
  Groups g = groups_of(in.shape, reduce);
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) { kernel = reduce_kernel<T>(std::move(g), kind); });
  if (in.dtype == DType::kBool && (kind == Kind::kMax || kind == Kind::kMin)) {
    // Booleans are bytes of 0 and 1; over nothing at all, Max is false and Min true.
    if (g.each == 0) return unsupported("of " + describe(in));
    kernel = reduce_kernel<uint8_t>(std::move(g), kind);
  }
  if (kernel == nullptr) return unsupported(request.node.op + " of " + describe(in));
  return kernel;
}

}  // namespace motet::ops
