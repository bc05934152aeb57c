#include "compute/ops/matmul/matmul.h"

#include "compute/ops/matmul/product.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {
namespace {

// numpy.matmul's reading of two shapes: matrices [m,k] and [k,n] over broadcast outer extents.
struct Extents {
  int64_t m = 1, n = 1, k = 1;
  BroadcastPlan batches;  // operand offsets in matrices
  Shape result;
};

Result<Extents> extents_of(const TensorSpec& left, const TensorSpec& right) {
  Shape a = left.shape, b = right.shape;
  if (a.empty() || b.empty()) return unsupported(describe(left) + " times " + describe(right));
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  Extents e;
  e.m = a[a.size() - 2];
  e.k = a.back();
  e.n = b.back();
  if (b[b.size() - 2] != e.k) return unsupported(describe(left) + " times " + describe(right));
  const Shape outer_a(a.begin(), a.end() - 2), outer_b(b.begin(), b.end() - 2);
  MOTET_ASSIGN(e.result, broadcast_shape(outer_a, outer_b));
  e.batches = BroadcastPlan::make(e.result, {outer_a, outer_b});
  if (!row) e.result.push_back(e.m);
  if (!column) e.result.push_back(e.n);
  // One matrix on the right for all of the left: a single taller product.
  if (e.batches.elements > 1 && elements(outer_b) == 1 && !row && elements(outer_a) == e.batches.elements) {
    e.m *= e.batches.elements;
    e.batches = BroadcastPlan::make({}, {{}, {}});
  }
  return e;
}

template <class T>
KernelPtr product_kernel(Extents e, bool biased) {
  const double flops = 2.0 * static_cast<double>(e.m) * static_cast<double>(e.n) * static_cast<double>(e.k) *
                       static_cast<double>(e.batches.elements);
  return make_kernel(
      [e = std::move(e), biased](const KernelArgs& args, device::Team& team) {
        const T* a = input_data<T>(args, 0);
        const T* b = input_data<T>(args, 1);
        const T* bias = biased ? input_data<T>(args, 2) : nullptr;
        T* c = output_data<T>(args, 0);
        auto one = [&](int64_t i, int64_t a_at, int64_t b_at, device::Team& on) {
          multiply<T>(e.m, e.n, e.k, a + a_at * e.m * e.k, e.k, b + b_at * e.k * e.n, e.n, c + i * e.m * e.n, e.n, bias,
                      false, on);
        };
        auto some = [&](int64_t begin, int64_t end, device::Team& on) {
          e.batches.for_runs(begin, end, [&](int64_t at, int64_t count, const int64_t* offsets) {
            for (int64_t i = 0; i < count; ++i) {
              one(at + i, offsets[0] + i * e.batches.inner_step(0), offsets[1] + i * e.batches.inner_step(1), on);
            }
          });
        };
        if (e.batches.elements < team.width()) {
          some(0, e.batches.elements, team);
        } else {
          const int64_t work = std::max<int64_t>(1, e.m * e.n * e.k);
          team.for_range(e.batches.elements, (131072 + work - 1) / work,
                         [&](int64_t begin, int64_t end) { some(begin, end, device::Team::serial()); });
        }
      },
      {.flops = flops});
}

}  // namespace

Result<KernelPtr> plan_matmul(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  const DType dtype = request.inputs[0].dtype;
  if (request.inputs[1].dtype != dtype)
    return unsupported(describe(request.inputs[0]) + " times " + describe(request.inputs[1]));
  MOTET_ASSIGN(Extents e, extents_of(request.inputs[0], request.inputs[1]));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, dtype, e.result));
  const bool biased = has_input(request, 2);
  if (biased && (request.inputs[2].dtype != dtype || request.inputs[2].shape != Shape{e.n})) {
    return unsupported("the bias is " + describe(request.inputs[2]));
  }
  KernelPtr kernel;
  for_number_type(dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) >= 4) kernel = product_kernel<T>(std::move(e), biased);
  });
  if (kernel == nullptr) return unsupported(describe(request.inputs[0]) + " times " + describe(request.inputs[1]));
  return kernel;
}

namespace {

struct GemmPlan {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  double alpha, beta;
  bool biased;
  int64_t bias_row, bias_column;  // steps through C's third operand
};

// [rows, columns] into [columns, rows].
template <class T>
void transpose(const T* from, T* to, int64_t rows, int64_t columns, device::Team& team) {
  StridedCopy(Shape{columns, rows}, Shape{1, columns}, Shape{rows, 1}, sizeof(T))
      .run(reinterpret_cast<const std::byte*>(from), reinterpret_cast<std::byte*>(to), team);
}

template <class T>
void finish(const GemmPlan& p, const T* bias, T* c, int64_t begin, int64_t end) {
  const T alpha = static_cast<T>(p.alpha), beta = static_cast<T>(p.beta);
  for (int64_t r = begin; r < end; ++r) {
    T* row = c + r * p.n;
    if (p.alpha != 1) {
      for (int64_t j = 0; j < p.n; ++j) row[j] *= alpha;
    }
    if (!p.biased) continue;
    const T* add = bias + r * p.bias_row;
    for (int64_t j = 0; j < p.n; ++j) row[j] += beta * add[j * p.bias_column];
  }
}

template <class T>
KernelPtr gemm_kernel(const NodeRequest& request, const GemmPlan& p) {
  // A constant second operand is turned once, here.
  Tensor turned;
  const Tensor* constant = constant_input(request, 1);
  const bool packed = p.transpose_b && constant != nullptr;
  if (packed) {
    turned = Tensor::zeros(DTypeOf<T>::value, {p.k, p.n});
    transpose(constant->view().as<T>().data(), turned.view().as<T>().data(), p.n, p.k, device::Team::serial());
  }
  auto aligned = [](int64_t count) { return (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64; };
  const size_t a_bytes = p.transpose_a ? aligned(p.m * p.k) : 0;
  const size_t b_bytes = p.transpose_b && !packed ? aligned(p.k * p.n) : 0;
  KernelTraits traits{.scratch_bytes = a_bytes + b_bytes,
                      .packed_bytes = packed ? turned.view().bytes() : 0,
                      .flops = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k)};
  return make_kernel(
      [p, turned, packed, a_bytes](const KernelArgs& args, device::Team& team) {
        const T* a = input_data<T>(args, 0);
        const T* b = input_data<T>(args, 1);
        const T* bias = p.biased ? input_data<T>(args, 2) : nullptr;
        T* c = output_data<T>(args, 0);
        if (p.transpose_a) {
          T* straight = reinterpret_cast<T*>(args.scratch);
          transpose(a, straight, p.k, p.m, team);
          a = straight;
        }
        if (packed) {
          b = reinterpret_cast<const T*>(turned.view().data);
        } else if (p.transpose_b) {
          T* straight = reinterpret_cast<T*>(args.scratch + a_bytes);
          transpose(b, straight, p.n, p.k, team);
          b = straight;
        }
        const bool plain = p.alpha == 1 && p.beta == 1 && (!p.biased || (p.bias_row == 0 && p.bias_column == 1));
        multiply<T>(p.m, p.n, p.k, a, p.k, b, p.n, c, p.n, plain ? bias : nullptr, false, team);
        if (plain) return;
        team.for_range(p.m, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, p.n)),
                       [&](int64_t begin, int64_t end) { finish<T>(p, bias, c, begin, end); });
      },
      traits);
}

}  // namespace

Result<KernelPtr> plan_gemm(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& b = request.inputs[1];
  if (a.shape.size() != 2 || b.shape.size() != 2 || a.dtype != b.dtype) {
    return unsupported(describe(a) + " times " + describe(b));
  }
  GemmPlan p{};
  p.transpose_a = request.node.int_or("transA", 0) != 0;
  p.transpose_b = request.node.int_or("transB", 0) != 0;
  p.alpha = request.node.float_or("alpha", 1.0f);
  p.beta = request.node.float_or("beta", 1.0f);
  p.m = a.shape[p.transpose_a ? 1 : 0];
  p.k = a.shape[p.transpose_a ? 0 : 1];
  p.n = b.shape[p.transpose_b ? 0 : 1];
  if (b.shape[p.transpose_b ? 1 : 0] != p.k) return unsupported(describe(a) + " times " + describe(b));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, a.dtype, {p.m, p.n}));
  p.biased = has_input(request, 2) && p.beta != 0;
  if (p.biased) {
    const TensorSpec& bias = request.inputs[2];
    MOTET_ASSIGN(Shape shape, broadcast_shape(bias.shape, {p.m, p.n}));
    if (bias.dtype != a.dtype || shape != Shape{p.m, p.n}) return unsupported("C is " + describe(bias));
    const size_t rank = bias.shape.size();
    p.bias_column = rank >= 1 && bias.shape[rank - 1] != 1 ? 1 : 0;
    p.bias_row = rank == 2 && bias.shape[0] != 1 ? bias.shape[1] : 0;
    // With one column its step does not matter; this one makes a scalar a plain bias.
    if (p.n == 1 && p.bias_column == 0 && p.bias_row == 0) p.bias_column = 1;
  }
  KernelPtr kernel;
  for_number_type(a.dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) >= 4) kernel = gemm_kernel<T>(request, p);
  });
  if (kernel == nullptr) return unsupported(describe(a) + " times " + describe(b));
  return kernel;
}

}  // namespace motet::ops
