// OneHot, Trilu, ReverseSequence.
#include <algorithm>
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {

Result<KernelPtr> plan_one_hot(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  const TensorSpec& indices = request.inputs[0];
  const TensorSpec& values = request.inputs[2];
  MOTET_ASSIGN(double wanted, constant_scalar(request, 1, "depth"));
  if (!(wanted >= 0 && wanted <= 1e9)) return unsupported("depth " + std::to_string(wanted));
  const auto depth = static_cast<int64_t>(wanted);
  if (elements(values.shape) != 2) return unsupported("values are " + describe(values) + ", not two elements");
  const size_t rank = indices.shape.size();
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", -1), rank + 1));
  Shape shape = indices.shape;
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth);
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, values.dtype, shape));
  const int64_t outer = product(indices.shape, 0, axis);
  const int64_t inner = product(indices.shape, axis, rank);
  KernelPtr kernel;
  for_number_type(indices.dtype, [&]<class I>(I) {
    kernel = make_kernel([=, bytes = dtype_bytes(values.dtype)](const KernelArgs& args, device::Team& team) {
      const I* at = input_data<I>(args, 0);
      for_element_size(bytes, [&]<class T>(T) {
        const T* off_on = input_data<T>(args, 2);
        T* y = output_data<T>(args, 0);
        team.for_range(outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, depth * inner)),
                       [&](int64_t begin, int64_t end) {
                         std::fill(y + begin * depth * inner, y + end * depth * inner, off_on[0]);
                         for (int64_t i = begin * inner; i < end * inner; ++i) {
                           // What is out of [-depth, depth) is hot nowhere.
                           const auto index = static_cast<double>(at[i]);
                           const double hot = index < 0 ? index + static_cast<double>(depth) : index;
                           if (!(hot >= 0 && hot < static_cast<double>(depth))) continue;
                           y[(i / inner * depth + static_cast<int64_t>(hot)) * inner + i % inner] = off_on[1];
                         }
                       });
      });
    });
  });
  if (kernel == nullptr) return unsupported("indices are " + describe(indices));
  return kernel;
}

Result<KernelPtr> plan_trilu(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 2));
  const TensorSpec& in = request.inputs[0];
  const size_t rank = in.shape.size();
  if (rank < 2) return unsupported("of " + describe(in) + "; two extents or more are possible");
  if (in.dtype == DType::kString) return unsupported("of " + describe(in));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const bool upper = request.node.int_or("upper", 1) != 0;
  const int64_t height = in.shape[rank - 2], width = in.shape[rank - 1];
  int64_t k = 0;
  if (has_input(request, 1)) {
    MOTET_ASSIGN(std::vector<int64_t> values, constant_ints(request, 1, "k"));
    if (values.size() != 1) return unsupported("k has " + std::to_string(values.size()) + " elements");
    k = std::clamp(values[0], -height - 1, width + 1);
  }
  const auto size = static_cast<int64_t>(dtype_bytes(in.dtype));
  const int64_t rows = product(in.shape, 0, rank - 1);
  return make_kernel(
      [=](const KernelArgs& args, device::Team& team) {
        team.for_range(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width)),
                       [&](int64_t begin, int64_t end) {
                         for (int64_t r = begin; r < end; ++r) {
                           // Columns from the (shifted) diagonal on belong to the upper part, with it to the lower one.
                           const int64_t edge = std::clamp<int64_t>(r % height + k + (upper ? 0 : 1), 0, width);
                           const int64_t from = upper ? edge : 0, to = upper ? width : edge;
                           const std::byte* x = args.inputs[0].data + r * width * size;
                           std::byte* y = args.outputs[0].data + r * width * size;
                           if (x != y && to > from)
                             std::memcpy(y + from * size, x + from * size, static_cast<size_t>((to - from) * size));
                           std::fill(y, y + from * size, std::byte{0});
                           std::fill(y + to * size, y + width * size, std::byte{0});
                         }
                       });
      },
      {.in_place_of = 0});
}

Result<KernelPtr> plan_reverse_sequence(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_RETURN_IF_ERROR(expect_type(request, 1, {DType::kI64}));
  const TensorSpec& in = request.inputs[0];
  const int64_t batch_axis = request.node.int_or("batch_axis", 1);
  const int64_t time_axis = request.node.int_or("time_axis", 0);
  if (in.shape.size() < 2 || batch_axis + time_axis != 1 || batch_axis * time_axis != 0) {
    return unsupported("batch_axis " + std::to_string(batch_axis) + " and time_axis " + std::to_string(time_axis) +
                       " of " + describe(in));
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const int64_t batch = in.shape[static_cast<size_t>(batch_axis)], time = in.shape[static_cast<size_t>(time_axis)];
  if (request.inputs[1].shape != Shape{batch}) return unsupported("sequence_lens is " + describe(request.inputs[1]));
  const int64_t row = product(in.shape, 2, in.shape.size()) * static_cast<int64_t>(dtype_bytes(in.dtype));
  const int64_t batch_step = batch_axis == 0 ? time : 1, time_step = batch_axis == 0 ? 1 : batch;
  return make_kernel([=](const KernelArgs& args, device::Team& team) {
    const int64_t* lengths = input_data<int64_t>(args, 1);
    team.for_range(batch, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, time * row)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t b = begin; b < end; ++b) {
                       const int64_t length = std::clamp<int64_t>(lengths[b], 0, time);
                       if (length != lengths[b]) args.report_fault("a sequence length is out of range");
                       for (int64_t t = 0; t < time; ++t) {
                         const int64_t from = t < length ? length - 1 - t : t;
                         std::copy_n(args.inputs[0].data + (b * batch_step + from * time_step) * row, row,
                                     args.outputs[0].data + (b * batch_step + t * time_step) * row);
                       }
                     }
                   });
  });
}

}  // namespace motet::ops
