#include <algorithm>
#include <cmath>

#include "compute/ops/linear/linear.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

double determinant(std::vector<double>& m, size_t n) {
  double result = 1;
  for (size_t c = 0; c < n; ++c) {
    size_t pivot = c;
    for (size_t r = c + 1; r < n; ++r)
      if (std::abs(m[r * n + c]) > std::abs(m[pivot * n + c])) pivot = r;
    if (m[pivot * n + c] == 0) return 0;
    if (pivot != c) {
      std::swap_ranges(m.begin() + static_cast<std::ptrdiff_t>(c * n),
                       m.begin() + static_cast<std::ptrdiff_t>(c * n + n),
                       m.begin() + static_cast<std::ptrdiff_t>(pivot * n));
      result = -result;
    }
    result *= m[c * n + c];
    for (size_t r = c + 1; r < n; ++r) {
      const double factor = m[r * n + c] / m[c * n + c];
      for (size_t k = c; k < n; ++k) m[r * n + k] -= factor * m[c * n + k];
    }
  }
  return result;
}

}  // namespace

Result<KernelPtr> plan_det(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const size_t rank = in.shape.size();
  if (rank < 2 || in.shape[rank - 1] != in.shape[rank - 2]) return unsupported("of " + describe(in));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, Shape(in.shape.begin(), in.shape.end() - 2)));
  const int64_t count = product(in.shape, 0, rank - 2), n = in.shape.back();
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([count, n](const KernelArgs& args, device::Team& team) {
      team.for_range(count, 1, [&](int64_t begin, int64_t end) {
        std::vector<double> m(static_cast<size_t>(n * n));
        for (int64_t i = begin; i < end; ++i) {
          std::copy_n(input_data<T>(args, 0) + i * n * n, n * n, m.begin());
          output_data<T>(args, 0)[i] = static_cast<T>(determinant(m, static_cast<size_t>(n)));
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(in));
  return kernel;
}

}  // namespace motet::ops
