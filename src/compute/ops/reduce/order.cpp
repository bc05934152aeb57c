// ArgMax, ArgMin, CumSum, TopK: along one axis of [outer, n, inner].
#include <algorithm>
#include <numeric>

#include "compute/ops/reduce/reduce.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

struct Along {
  int64_t outer, n, inner;
  // First element of line `i` out of outer * inner.
  int64_t line(int64_t i) const { return i / inner * n * inner + i % inner; }
};

Along along(const Shape& shape, size_t axis) {
  return {product(shape, 0, axis), shape[axis], product(shape, axis + 1, shape.size())};
}

int64_t lines_grain(int64_t n) { return std::max<int64_t>(1, kGrain / 4 / std::max<int64_t>(1, n)); }

}  // namespace

Result<KernelPtr> plan_arg_extreme(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 0), in.shape.size()));
  Shape shape = in.shape;
  shape[axis] = 1;
  if (request.node.int_or("keepdims", 1) == 0) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, DType::kI64, shape));
  const Along a = along(in.shape, axis);
  if (a.n == 0 && a.outer * a.inner > 0) return unsupported("of " + describe(in) + ": nothing to choose from");
  const bool max = request.node.op == "ArgMax";
  const bool last = request.node.int_or("select_last_index", 0) != 0;
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      int64_t* y = output_data<int64_t>(args, 0);
      team.for_range(a.outer * a.inner, lines_grain(a.n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const T* x = input_data<T>(args, 0) + a.line(i);
          int64_t best = 0;
          for (int64_t k = 1; k < a.n; ++k) {
            const T v = x[k * a.inner], b = x[best * a.inner];
            if ((max ? v > b : v < b) || (last && v == b)) best = k;
          }
          y[i] = best;
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported(request.node.op + " of " + describe(in));
  return kernel;
}

Result<KernelPtr> plan_cumulative(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(std::vector<int64_t> given, constant_ints(request, 1, "axis"));
  if (given.size() != 1) return unsupported("axis has " + std::to_string(given.size()) + " elements");
  MOTET_ASSIGN(size_t axis, normalise_axis(given[0], in.shape.size()));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const Along a = along(in.shape, axis);
  const bool exclusive = request.node.int_or("exclusive", 0) != 0;
  const bool reverse = request.node.int_or("reverse", 0) != 0;
  const bool product = request.node.op == "CumProd";
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel(
        [=](const KernelArgs& args, device::Team& team) {
          team.for_range(a.outer * a.inner, lines_grain(a.n), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t first = a.line(i) + (reverse ? (a.n - 1) * a.inner : 0);
              const int64_t step = reverse ? -a.inner : a.inner;
              const T* x = input_data<T>(args, 0) + first;
              T* y = output_data<T>(args, 0) + first;
              T so_far = product ? T(1) : T(0);
              for (int64_t k = 0; k < a.n; ++k) {
                const auto before = wrap(so_far), value = wrap(x[k * step]);
                const T next = static_cast<T>(product ? before * value : before + value);
                y[k * step] = exclusive ? so_far : next;
                so_far = next;
              }
            }
          });
        },
        {.in_place_of = 0});
  });
  if (kernel == nullptr) return unsupported(request.node.op + " of " + describe(in));
  return kernel;
}

namespace {

// NaN sorts as the greatest of all, so that the order is total.
template <class T>
bool above(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a || b != b) return a != a && b == b;
  }
  return a > b;
}

}  // namespace

Result<KernelPtr> plan_topk(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", -1), in.shape.size()));
  // An attribute before opset 10.
  int64_t k = request.node.opset < 10 ? request.node.int_or("k", 0) : 0;
  if (has_input(request, 1)) {
    MOTET_ASSIGN(std::vector<int64_t> given, constant_ints(request, 1, "k"));
    if (given.size() != 1) return unsupported("k has " + std::to_string(given.size()) + " elements");
    k = given[0];
  }
  const Along a = along(in.shape, axis);
  if (k < 0 || k > a.n) return unsupported("k " + std::to_string(k) + " of " + describe(in));
  Shape shape = in.shape;
  shape[axis] = k;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  MOTET_RETURN_IF_ERROR(expect_output(request, 1, DType::kI64, shape));
  const bool largest = request.node.int_or("largest", 1) != 0;
  const bool values = has_output(request, 0), indices = has_output(request, 1);
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      team.for_range(a.outer * a.inner, lines_grain(a.n), [&](int64_t begin, int64_t end) {
        std::vector<int64_t> order(static_cast<size_t>(a.n));
        for (int64_t i = begin; i < end; ++i) {
          const T* x = input_data<T>(args, 0) + a.line(i);
          std::iota(order.begin(), order.end(), int64_t{0});
          // Equal elements in order of position, as ONNX wants it.
          std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t p, int64_t q) {
            const T u = x[p * a.inner], v = x[q * a.inner];
            if (largest ? above(u, v) : above(v, u)) return true;
            if (largest ? above(v, u) : above(u, v)) return false;
            return p < q;
          });
          const int64_t first = i / a.inner * k * a.inner + i % a.inner;
          for (int64_t r = 0; r < k; ++r) {
            if (values) output_data<T>(args, 0)[first + r * a.inner] = x[order[static_cast<size_t>(r)] * a.inner];
            if (indices) output_data<int64_t>(args, 1)[first + r * a.inner] = order[static_cast<size_t>(r)];
          }
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported("TopK of " + describe(in));
  return kernel;
}

}  // namespace motet::ops
