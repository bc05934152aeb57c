#include <algorithm>
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/mapped.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {
namespace {

struct Pads {
  std::vector<int64_t> begin, end;  // per axis; negative crops
};

Result<Pads> pads_of(const NodeRequest& request) {
  const size_t rank = request.inputs[0].shape.size();
  const std::string_view attribute = request.node.opset < 2 ? "paddings" : "pads";
  MOTET_ASSIGN(auto pads, ints_of_input_or_attribute(request, 1, attribute));
  if (!pads) return unsupported("pads are not given");
  std::vector<int64_t> axes;
  if (has_input(request, 3)) {
    MOTET_ASSIGN(axes, constant_ints(request, 3, "axes"));
  } else {
    for (size_t d = 0; d < rank; ++d) axes.push_back(static_cast<int64_t>(d));
  }
  if (pads->size() != axes.size() * 2)
    return unsupported("pads " + shape_to_string(*pads) + " for " + std::to_string(axes.size()) + " axes");
  Pads result{std::vector<int64_t>(rank), std::vector<int64_t>(rank)};
  for (size_t i = 0; i < axes.size(); ++i) {
    MOTET_ASSIGN(size_t d, normalise_axis(axes[i], rank));
    result.begin[d] = (*pads)[i];
    result.end[d] = (*pads)[axes.size() + i];
  }
  return result;
}

Result<Shape> padded_shape(const Shape& in, const Pads& pads) {
  Shape shape = in;
  for (size_t d = 0; d < in.size(); ++d) {
    const auto ahead = checked_add(in[d], pads.begin[d]);
    const auto total = ahead ? checked_add(*ahead, pads.end[d]) : std::nullopt;
    if (!total || *total < 0) {
      return unsupported("pads " + std::to_string(pads.begin[d]) + " and " + std::to_string(pads.end[d]) +
                         " of extent " + std::to_string(in[d]));
    }
    shape[d] = *total;
  }
  return shape;
}

// Which element of [0, extent) stands at position `i`, which may lie outside. REQUIRES: extent > 0.
int64_t source_of(int64_t i, int64_t extent, const std::string& mode) {
  if (mode == "edge") return std::clamp<int64_t>(i, 0, extent - 1);
  if (mode == "wrap") return (i % extent + extent) % extent;
  const int64_t period = 2 * (extent - 1);
  if (period == 0) return 0;
  const int64_t at = (i % period + period) % period;
  return at < extent ? at : period - at;
}

KernelPtr constant_pad(const TensorSpec& in, const Shape& shape, const Pads& pads, bool has_value, Tensor fallback) {
  const Shape src = strides_of(in.shape), dst = strides_of(shape);
  Shape extents = in.shape;
  int64_t from = 0, to = 0;
  for (size_t d = 0; d < in.shape.size(); ++d) {
    const int64_t skip = std::max<int64_t>(0, -pads.begin[d]);
    extents[d] = std::max<int64_t>(0, in.shape[d] - skip - std::max<int64_t>(0, -pads.end[d]));
    from += skip * src[d];
    to += std::max<int64_t>(0, pads.begin[d]) * dst[d];
  }
  const size_t bytes = dtype_bytes(in.dtype);
  if (elements(extents) == 0) from = to = 0;
  StridedCopy copy(extents, src, dst, bytes);
  return make_kernel(
      [=, count = elements(shape), size = static_cast<int64_t>(bytes)](const KernelArgs& args, device::Team& team) {
        const std::byte* value = has_value ? args.inputs[2].data : fallback.view().data;
        for_element_size(bytes, [&]<class T>(T) {
          T element;
          std::memcpy(&element, value, sizeof(T));
          T* y = output_data<T>(args, 0);
          team.for_range(count, kGrain, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, element); });
        });
        copy.run(args.inputs[0].data + from * size, args.outputs[0].data + to * size, team);
      });
}

}  // namespace

Result<KernelPtr> plan_pad(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 4));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(Pads pads, pads_of(request));
  MOTET_ASSIGN(Shape shape, padded_shape(in.shape, pads));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  const std::string mode = request.node.string_or("mode", "constant");
  if (mode == "constant") {
    const bool has_value = has_input(request, 2);
    if (has_value && (request.inputs[2].dtype != in.dtype || elements(request.inputs[2].shape) != 1)) {
      return unsupported("the value is " + describe(request.inputs[2]) +
                         "; one element of the input's type is possible");
    }
    Tensor fallback = Tensor::zeros(in.dtype, {1});
    if (in.dtype == DType::kF32) fallback.view().as<float>()[0] = request.node.float_or("value", 0);
    if (in.dtype == DType::kF64) fallback.view().as<double>()[0] = request.node.float_or("value", 0);
    return constant_pad(in, shape, pads, has_value, fallback);
  }
  if (mode != "reflect" && mode != "edge" && mode != "wrap") return unsupported("mode '" + mode + "'");
  std::vector<std::vector<int64_t>> maps(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) {
    if (in.shape[d] == 0 && shape[d] > 0)
      return unsupported("mode '" + mode + "' of " + describe(in) + ", which is empty");
    for (int64_t i = 0; i < shape[d]; ++i) maps[d].push_back(source_of(i - pads.begin[d], in.shape[d], mode));
  }
  MappedCopy copy(in.shape, std::move(maps), dtype_bytes(in.dtype));
  return make_kernel([copy = std::move(copy)](const KernelArgs& args, device::Team& team) {
    copy.run(args.inputs[0].data, args.outputs[0].data, team);
  });
}

}  // namespace motet::ops
