// Col2Im, MaxUnpool, CenterCropPad.
#include <algorithm>
#include <cstring>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"
#include "compute/ops/vision/vision.h"

namespace motet::ops {
namespace {

struct Blocks {
  Shape image, kernel, dilations, begin, strides, counts;  // counts: places of the block along each extent
  int64_t taps = 1, places = 1, pixels = 1;
};

Result<Blocks> blocks_of(const NodeRequest& request) {
  Blocks b;
  MOTET_ASSIGN(b.image, constant_ints(request, 1, "image_shape"));
  MOTET_ASSIGN(b.kernel, constant_ints(request, 2, "block_shape"));
  const size_t rank = b.image.size();
  auto list = [&](std::string_view key, size_t count, int64_t fallback) {
    return request.node.ints_or(key, std::vector<int64_t>(count, fallback));
  };
  b.dilations = list("dilations", rank, 1);
  b.strides = list("strides", rank, 1);
  const Shape pads = list("pads", 2 * rank, 0);
  if (rank < 1 || b.kernel.size() != rank || b.dilations.size() != rank || b.strides.size() != rank ||
      pads.size() != 2 * rank)
    return unsupported("an image of " + shape_to_string(b.image) + " from blocks of " + shape_to_string(b.kernel));
  constexpr int64_t kMost = int64_t{1} << 31;
  for (size_t d = 0; d < rank; ++d) {
    for (int64_t v : {b.image[d], b.kernel[d], b.dilations[d], b.strides[d]})
      if (v < 1 || v > kMost) return unsupported("the extent, block, dilation or stride " + std::to_string(v));
    for (int64_t v : {pads[d], pads[rank + d]})
      if (v < 0 || v > kMost) return unsupported("the pad " + std::to_string(v));
    auto reach = checked_multiply(b.dilations[d], b.kernel[d] - 1);
    const int64_t room = b.image[d] + pads[d] + pads[rank + d] - reach.value_or(kMost) - 1;
    if (room < 0) return unsupported("a block larger than its padded image");
    b.begin.push_back(pads[d]);
    b.counts.push_back(room / b.strides[d] + 1);
  }
  MOTET_ASSIGN(b.taps, checked_elements(b.kernel));
  MOTET_ASSIGN(b.places, checked_elements(b.counts));
  MOTET_ASSIGN(b.pixels, checked_elements(b.image));
  return b;
}

// Index `at` of a row-major array, taken apart.
void unravel(int64_t at, const Shape& shape, Shape& index) {
  for (size_t d = shape.size(); d-- > 0; at /= shape[d]) index[d] = at % shape[d];
}

template <class T>
void add_plane(const Blocks& b, const T* columns, T* image) {
  std::fill_n(image, b.pixels, T(0));
  const size_t rank = b.image.size();
  Shape tap(rank), place(rank);
  for (int64_t k = 0; k < b.taps; ++k) {
    unravel(k, b.kernel, tap);
    for (int64_t p = 0; p < b.places; ++p) {
      unravel(p, b.counts, place);
      int64_t at = 0;
      bool inside = true;
      for (size_t d = 0; d < rank; ++d) {
        const int64_t i = place[d] * b.strides[d] - b.begin[d] + tap[d] * b.dilations[d];
        inside = inside && i >= 0 && i < b.image[d];
        at = at * b.image[d] + i;
      }
      if (inside) image[at] += columns[k * b.places + p];
    }
  }
}

}  // namespace

Result<KernelPtr> plan_col2im(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(const Blocks b, blocks_of(request));
  if (in.shape.size() != 3 || in.shape[1] % b.taps != 0 || in.shape[2] != b.places)
    return unsupported("of " + describe(in) + " with blocks of " + std::to_string(b.taps) + " at " +
                       std::to_string(b.places) + " places");
  const int64_t planes = in.shape[0] * (in.shape[1] / b.taps);
  Shape shape = {in.shape[0], in.shape[1] / b.taps};
  shape.insert(shape.end(), b.image.begin(), b.image.end());
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  KernelPtr kernel;
  for_number_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([b, planes](const KernelArgs& args, device::Team& team) {
      team.for_range(planes, std::max<int64_t>(1, kGrain / (b.taps * b.places)), [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p)
          add_plane(b, input_data<T>(args, 0) + p * b.taps * b.places, output_data<T>(args, 0) + p * b.pixels);
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(in));
  return kernel;
}

Result<KernelPtr> plan_max_unpool(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 3));
  const TensorSpec& in = request.inputs[0];
  const size_t rank = in.shape.size();
  if (rank < 3 || request.inputs[1].shape != in.shape || request.inputs[1].dtype != DType::kI64)
    return unsupported("of " + describe(in) + " at " + describe(request.inputs[1]));
  const std::vector<int64_t> kernel_shape = request.node.ints_or("kernel_shape", {});
  const size_t spatial = rank - 2;
  const std::vector<int64_t> strides = request.node.ints_or("strides", std::vector<int64_t>(spatial, 1));
  const std::vector<int64_t> pads = request.node.ints_or("pads", std::vector<int64_t>(2 * spatial, 0));
  if (kernel_shape.size() != spatial || strides.size() != spatial || pads.size() != 2 * spatial)
    return unsupported("a window of " + shape_to_string(kernel_shape) + " over " + describe(in));
  // Indices count elements of what was pooled; output_shape may make the result larger than that.
  Shape pooled = in.shape;
  for (size_t d = 0; d < spatial; ++d)
    pooled[d + 2] = (in.shape[d + 2] - 1) * strides[d] - pads[d] - pads[spatial + d] + kernel_shape[d];
  const Shape out = request.outputs[0].shape;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, has_input(request, 2) ? out : pooled));
  MOTET_ASSIGN(const int64_t known, checked_elements(pooled));
  if (out.size() != rank) return unsupported("its result is " + describe(request.outputs[0]));
  for (size_t d = 0; d < rank; ++d)
    if (out[d] < pooled[d])
      return unsupported("output_shape " + shape_to_string(out) + " is less than " + shape_to_string(pooled));
  const int64_t count = elements(in.shape);
  return make_kernel([=, bytes = dtype_bytes(in.dtype)](const KernelArgs& args, device::Team& team) {
    // One part: any element may go anywhere.
    auto place = [&](int, int) {
      for_element_size(bytes, [&]<class T>(T) {
        T* y = output_data<T>(args, 0);
        std::memset(static_cast<void*>(y), 0, static_cast<size_t>(elements(out)) * sizeof(T));
        Shape index(rank);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t told = input_data<int64_t>(args, 1)[i];
          if (told < 0 || told >= known) {
            args.report_fault("an index is out of range");
            continue;
          }
          unravel(told, pooled, index);
          int64_t at = 0;
          for (size_t d = 0; d < rank; ++d) at = at * out[d] + index[d];
          y[at] = input_data<T>(args, 0)[i];
        }
      });
    };
    team.run(1, device::PartFunction(place));
  });
}

Result<KernelPtr> plan_center_crop_pad(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& in = request.inputs[0];
  if (in.dtype == DType::kString) return unsupported("of " + describe(in));
  MOTET_ASSIGN(const std::vector<int64_t> wanted, constant_ints(request, 1, "shape"));
  std::vector<int64_t> axes(in.shape.size());
  for (size_t d = 0; d < axes.size(); ++d) axes[d] = static_cast<int64_t>(d);
  axes = request.node.ints_or("axes", std::move(axes));
  if (wanted.size() != axes.size())
    return unsupported("a shape of " + std::to_string(wanted.size()) + " extents for " + std::to_string(axes.size()) +
                       " axes");
  Shape shape = in.shape, extents = in.shape;
  int64_t from = 0, to = 0;
  const Shape in_strides = strides_of(in.shape);
  Shape skipped(in.shape.size(), 0), placed(in.shape.size(), 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    MOTET_ASSIGN(const size_t axis, normalise_axis(axes[i], in.shape.size()));
    if (wanted[i] < 0) return unsupported("the extent " + std::to_string(wanted[i]));
    shape[axis] = wanted[i];
    extents[axis] = std::min(wanted[i], in.shape[axis]);
    skipped[axis] = (in.shape[axis] - extents[axis]) / 2;
    placed[axis] = (wanted[i] - extents[axis]) / 2;
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  const Shape out_strides = strides_of(shape);
  for (size_t d = 0; d < shape.size(); ++d) {
    from += skipped[d] * in_strides[d];
    to += placed[d] * out_strides[d];
  }
  const size_t element = dtype_bytes(in.dtype);
  const size_t bytes = static_cast<size_t>(elements(shape)) * element;
  const bool padded = extents != shape;
  return make_kernel([copy = StridedCopy(extents, in_strides, out_strides, element), from, to, element, bytes, padded](
                         const KernelArgs& args, device::Team& team) {
    if (padded) {
      auto clear = [&](int64_t begin, int64_t end) {
        std::memset(args.outputs[0].data + begin, 0, static_cast<size_t>(end - begin));
      };
      team.for_range(static_cast<int64_t>(bytes), 1 << 18, clear);
    }
    copy.run(args.inputs[0].data + static_cast<size_t>(from) * element,
             args.outputs[0].data + static_cast<size_t>(to) * element, team);
  });
}

}  // namespace motet::ops
