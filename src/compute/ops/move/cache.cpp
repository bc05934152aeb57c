// TensorScatter: a cache of keys or values, [batch, ..., places, ...], with new rows written along one axis.
#include <algorithm>
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {

Result<KernelPtr> plan_tensor_scatter(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  const TensorSpec& cache = request.inputs[0];
  const TensorSpec& update = request.inputs[1];
  if (cache.shape.empty()) return unsupported("of " + describe(cache));
  MOTET_ASSIGN(const size_t axis, normalise_axis(request.node.int_or("axis", -2), cache.shape.size()));
  const std::string mode = request.node.string_or("mode", "linear");
  if (mode != "linear" && mode != "circular") return unsupported("mode " + mode);
  if (axis == 0) return unsupported("along the batch");
  Shape fits = cache.shape;
  if (update.shape.size() == fits.size()) fits[axis] = update.shape[axis];
  if (update.shape != fits || update.dtype != cache.dtype || fits[axis] > cache.shape[axis])
    return unsupported("of " + describe(cache) + " and " + describe(update));
  const bool placed = has_input(request, 2);
  if (placed && (request.inputs[2].dtype != DType::kI64 || request.inputs[2].shape != Shape{cache.shape[0]}))
    return unsupported("write_indices is " + describe(request.inputs[2]));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, cache.dtype, cache.shape));
  const bool circular = mode == "circular";
  const int64_t places = cache.shape[axis], fresh = fits[axis];
  const int64_t inner = product(cache.shape, 1, axis), blocks = cache.shape[0] * inner;
  const auto row = static_cast<size_t>(product(cache.shape, axis + 1, cache.shape.size())) * dtype_bytes(cache.dtype);
  return make_kernel([=](const KernelArgs& args, device::Team& team) {
    team.for_range(blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const size_t whole = static_cast<size_t>(places) * row;
        std::byte* to = args.outputs[0].data + static_cast<size_t>(b) * whole;
        if (whole > 0) std::memcpy(to, args.inputs[0].data + static_cast<size_t>(b) * whole, whole);
        const int64_t first = placed ? input_data<int64_t>(args, 2)[b / inner] : 0;
        if (first < 0 || (circular ? first >= places : first > places - fresh)) {
          args.report_fault("a write index is out of range");
          continue;
        }
        const std::byte* from = args.inputs[1].data + static_cast<size_t>(b * fresh) * row;
        for (int64_t t = 0; row > 0 && t < fresh; ++t)
          std::memcpy(to + static_cast<size_t>((first + t) % places) * row, from + static_cast<size_t>(t) * row, row);
      }
    });
  });
}

}  // namespace motet::ops
