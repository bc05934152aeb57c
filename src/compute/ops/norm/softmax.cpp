#include <algorithm>
#include <cmath>

#include "compute/ops/norm/norm.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

enum class Kind : uint8_t { kSoftmax, kLogSoftmax, kHardmax };

// One row of n consecutive f32 elements.
void softmax_row(Kind kind, const float* x, float* y, int64_t n) {
  const vec::Loops& loops = vec::loops();
  const float top = loops.max(x, n);
  if (kind == Kind::kSoftmax) {
    const float sum = loops.exp_sum(x, y, n, top);
    loops.unary(vec::Unary::kScaleShift, y, y, n, 1.0f / sum, 0.0f);
    return;
  }
  // In pieces, since y may be x and must not be spoilt before the sum is known.
  constexpr int64_t kPiece = 1024;
  float piece[kPiece];
  float sum = 0;
  for (int64_t i = 0; i < n; i += kPiece) sum += loops.exp_sum(x + i, piece, std::min(kPiece, n - i), top);
  loops.unary(vec::Unary::kScaleShift, x, y, n, 1.0f, -top - std::log(sum));
}

// n elements `step` apart.
template <class T>
void softmax_column(Kind kind, const T* x, T* y, int64_t n, int64_t step) {
  int64_t top = 0;
  for (int64_t i = 1; i < n; ++i) {
    if (x[i * step] > x[top * step]) top = i;
  }
  if (kind == Kind::kHardmax) {
    for (int64_t i = 0; i < n; ++i) y[i * step] = i == top ? T(1) : T(0);
    return;
  }
  const T high = x[top * step];
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i * step] - high);
  const T log_sum = std::log(sum);
  for (int64_t i = 0; i < n; ++i) {
    const T shifted = x[i * step] - high;
    y[i * step] = kind == Kind::kSoftmax ? std::exp(shifted) / sum : shifted - log_sum;
  }
}

// Softmax over `n` planes of `inner` f32 elements: whole blocks of columns at once, so that loads are consecutive.
void softmax_block(const float* x, float* y, int64_t n, int64_t inner) {
  constexpr int64_t kColumns = 64;
  const vec::Loops& loops = vec::loops();
  float top[kColumns], sum[kColumns];
  for (int64_t c = 0; c < inner; c += kColumns) {
    const int64_t width = std::min(kColumns, inner - c);
    std::copy_n(x + c, width, top);
    for (int64_t i = 1; i < n; ++i) loops.binary(vec::Binary::kMax, top, 1, x + i * inner + c, 1, top, width);
    std::fill_n(sum, width, 0.0f);
    for (int64_t i = 0; i < n; ++i) {
      float* to = y + i * inner + c;
      loops.binary(vec::Binary::kSub, x + i * inner + c, 1, top, 1, to, width);
      loops.unary(vec::Unary::kExp, to, to, width, 0, 0);
      loops.binary(vec::Binary::kAdd, sum, 1, to, 1, sum, width);
    }
    for (int64_t i = 0; i < n; ++i)
      loops.binary(vec::Binary::kDiv, y + i * inner + c, 1, sum, 1, y + i * inner + c, width);
  }
}

template <class T>
void softmax_slice(Kind kind, const T* x, T* y, int64_t n, int64_t inner) {
  if constexpr (std::is_same_v<T, float>) {
    if (inner == 1 && kind != Kind::kHardmax) return softmax_row(kind, x, y, n);
    if (kind == Kind::kSoftmax) return softmax_block(x, y, n, inner);
  }
  for (int64_t c = 0; c < inner; ++c) softmax_column<T>(kind, x + c, y + c, n, inner);
}

}  // namespace

Result<KernelPtr> plan_softmax(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  MOTET_RETURN_IF_ERROR(expect_type(request, 0, {DType::kF32, DType::kF64}));
  const TensorSpec& in = request.inputs[0];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const size_t rank = in.shape.size();
  const bool coerced = request.node.opset < 13;
  int64_t outer = 1, n = 1, inner = 1;
  const int64_t given = request.node.int_or("axis", coerced ? 1 : -1);
  if (rank > 0) {
    // Coerced to [outer, n], the axis may be one past the last.
    const bool past = coerced && given == static_cast<int64_t>(rank);
    size_t axis = rank;
    if (!past) {
      MOTET_ASSIGN(axis, normalise_axis(given, rank));
    }
    outer = product(in.shape, 0, axis);
    n = coerced ? product(in.shape, axis, rank) : in.shape[axis];
    inner = coerced ? 1 : product(in.shape, axis + 1, rank);
  }
  const Kind kind = request.node.op == "Softmax"      ? Kind::kSoftmax
                    : request.node.op == "LogSoftmax" ? Kind::kLogSoftmax
                                                      : Kind::kHardmax;
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          if (n == 0 || inner == 0) return;
          const T* x = input_data<T>(args, 0);
          T* y = output_data<T>(args, 0);
          team.for_range(outer, std::max<int64_t>(1, kGrain / 4 / (n * inner)), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
              softmax_slice<T>(kind, x + i * n * inner, y + i * n * inner, n, inner);
          });
        },
        {.in_place_of = 0, .flops = 5.0 * static_cast<double>(outer * n * inner)});
  });
  return kernel;
}

}  // namespace motet::ops
