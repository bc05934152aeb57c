// Transpose, Expand, Tile, Slice, Concat, Split, DepthToSpace, SpaceToDepth: strided copies.
#include <algorithm>
#include <limits>
#include <map>
#include <span>

#include "compute/ops/elementwise/layout.h"
#include "compute/ops/move/move.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {
namespace {

// One input to one output through one strided copy that starts at element `src_first` of the source.
KernelPtr copy_kernel(StridedCopy copy, int64_t src_first, size_t element_bytes) {
  const auto skip = src_first * static_cast<int64_t>(element_bytes);
  return make_kernel([copy = std::move(copy), skip](const KernelArgs& args, device::Team& team) {
    copy.run(args.inputs[0].data + skip, args.outputs[0].data, team);
  });
}

// `shape` with its extents in the order of `order`, and copied so.
KernelPtr permutation(const Shape& shape, const std::vector<size_t>& order, DType dtype) {
  const Shape strides = strides_of(shape);
  Shape extents, src;
  for (size_t axis : order) {
    extents.push_back(shape[axis]);
    src.push_back(strides[axis]);
  }
  return copy_kernel(StridedCopy(extents, src, strides_of(extents), dtype_bytes(dtype)), 0, dtype_bytes(dtype));
}

}  // namespace

Result<KernelPtr> plan_transpose(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const size_t rank = in.shape.size();
  std::vector<int64_t> reverse;
  for (size_t d = rank; d-- > 0;) reverse.push_back(static_cast<int64_t>(d));
  const std::vector<int64_t> perm = request.node.ints_or("perm", reverse);
  MOTET_RETURN_IF_ERROR(normalise_axes(perm, rank).ok() && perm.size() == rank
                            ? Status()
                            : Status(unsupported("perm " + shape_to_string(perm) + " of " + describe(in))));
  std::vector<size_t> order;
  Shape shape;
  for (int64_t axis : perm) {
    order.push_back(static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis));
    shape.push_back(in.shape[order.back()]);
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  return permutation(in.shape, order, in.dtype);
}

Result<KernelPtr> plan_expand(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(Shape wanted, constant_ints(request, 1, "shape"));
  for (int64_t extent : wanted) {
    if (extent < 0) return unsupported("shape " + shape_to_string(wanted));
  }
  MOTET_ASSIGN(Shape shape, broadcast_shape(in.shape, wanted));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  const Shape strides = strides_of(in.shape);
  Shape src(shape.size(), 0);
  const size_t ahead = shape.size() - in.shape.size();
  for (size_t d = 0; d < in.shape.size(); ++d) src[ahead + d] = in.shape[d] == 1 ? 0 : strides[d];
  return copy_kernel(StridedCopy(shape, src, strides_of(shape), dtype_bytes(in.dtype)), 0, dtype_bytes(in.dtype));
}

Result<KernelPtr> plan_tile(const NodeRequest& request) {
  if (request.node.opset < 6) return unsupported("Tile before opset 6");
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(std::vector<int64_t> repeats, constant_ints(request, 1, "repeats"));
  if (repeats.size() != in.shape.size())
    return unsupported("repeats " + shape_to_string(repeats) + " for " + describe(in));
  const Shape strides = strides_of(in.shape);
  Shape shape, extents, src;
  for (size_t d = 0; d < repeats.size(); ++d) {
    const auto extent = repeats[d] < 0 ? std::nullopt : checked_multiply(in.shape[d], repeats[d]);
    if (!extent) return unsupported("repeats " + shape_to_string(repeats));
    shape.push_back(*extent);
    extents.insert(extents.end(), {repeats[d], in.shape[d]});
    src.insert(src.end(), {0, strides[d]});
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  return copy_kernel(StridedCopy(extents, src, strides_of(extents), dtype_bytes(in.dtype)), 0, dtype_bytes(in.dtype));
}

namespace {

struct SliceAxis {
  int64_t first, count, step;
};

// [start:end:step] of `extent` elements, clamped as numpy does.
SliceAxis slice_axis(int64_t start, int64_t end, int64_t step, int64_t extent) {
  if (start < 0) start += extent;
  if (end < 0) end += extent;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, extent);
    end = std::clamp<int64_t>(end, 0, extent);
    return {start, end > start ? (end - start - 1) / step + 1 : 0, step};
  }
  start = std::clamp<int64_t>(start, -1, extent - 1);
  end = std::clamp<int64_t>(end, -1, extent - 1);
  // The least step has no negative; past the first element it takes none.
  const int64_t stride = step == std::numeric_limits<int64_t>::min() ? std::numeric_limits<int64_t>::max() : -step;
  return {start, start > end ? (start - end - 1) / stride + 1 : 0, step};
}

}  // namespace

Result<KernelPtr> plan_slice(const NodeRequest& request) {
  const bool from_inputs = request.node.opset >= 10;
  MOTET_RETURN_IF_ERROR(expect_inputs(request, from_inputs ? 3 : 1, from_inputs ? 5 : 1));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(auto starts, ints_of_input_or_attribute(request, 1, "starts"));
  MOTET_ASSIGN(auto ends, ints_of_input_or_attribute(request, 2, "ends"));
  MOTET_ASSIGN(auto axes, ints_of_input_or_attribute(request, 3, "axes"));
  MOTET_ASSIGN(auto steps, ints_of_input_or_attribute(request, 4, "steps"));
  if (!starts || !ends) return unsupported("starts and ends are needed");
  const size_t count = starts->size();
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < count; ++i) axes->push_back(static_cast<int64_t>(i));
  }
  if (!steps) steps.emplace(count, 1);
  if (ends->size() != count || axes->size() != count || steps->size() != count) {
    return unsupported("starts, ends, axes and steps differ in length");
  }
  MOTET_RETURN_IF_ERROR(normalise_axes(*axes, in.shape.size()).ok()
                            ? Status()
                            : Status(unsupported("axes " + shape_to_string(*axes) + " of " + describe(in))));
  Shape shape = in.shape;
  const Shape strides = strides_of(in.shape);
  Shape src = strides;
  int64_t first = 0;
  for (size_t i = 0; i < count; ++i) {
    MOTET_ASSIGN(size_t d, normalise_axis((*axes)[i], in.shape.size()));
    if ((*steps)[i] == 0) return unsupported("a step of 0");
    const SliceAxis slice = slice_axis((*starts)[i], (*ends)[i], (*steps)[i], in.shape[d]);
    shape[d] = slice.count;
    // A step is only taken if there is a second element.
    src[d] = slice.count > 1 ? strides[d] * slice.step : strides[d];
    if (slice.count > 0) first += slice.first * strides[d];
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  if (elements(shape) == 0) first = 0;
  return copy_kernel(StridedCopy(shape, src, strides_of(shape), dtype_bytes(in.dtype)), first, dtype_bytes(in.dtype));
}

namespace {

// Parts of a tensor side by side along one axis: [outer, extent_i * inner] of each against [outer, total * inner].
struct SideBySide {
  std::vector<StridedCopy> copies;
  std::vector<int64_t> offsets;  // of each part in the whole, in bytes
};

SideBySide side_by_side(const std::vector<Shape>& parts, const Shape& whole, size_t axis, size_t element_bytes,
                        bool gather) {
  SideBySide plan;
  const int64_t outer = product(whole, 0, axis);
  const int64_t inner = product(whole, axis + 1, whole.size());
  const int64_t whole_row = whole[axis] * inner;
  int64_t offset = 0;
  for (const Shape& part : parts) {
    const int64_t row = part[axis] * inner;
    const Shape in_part{row, 1}, in_whole{whole_row, 1};
    plan.copies.emplace_back(Shape{outer, row}, gather ? in_part : in_whole, gather ? in_whole : in_part,
                             element_bytes);
    plan.offsets.push_back(offset * static_cast<int64_t>(element_bytes));
    offset += row;
  }
  return plan;
}

int64_t block_of(Layout layout) { return layout == Layout::kNChw8c ? 8 : layout == Layout::kNChw16c ? 16 : 1; }

// The layout in which most of the elements lie; blocks only if every part is made of whole ones.
Layout joined_layout(std::span<const TensorSpec> parts) {
  std::map<Layout, int64_t> held;
  for (const TensorSpec& part : parts) held[part.layout] += elements(part.shape);
  const Layout layout = std::max_element(held.begin(), held.end(), [](const auto& a, const auto& b) {
                          return a.second < b.second;
                        })->first;
  const bool whole = std::all_of(parts.begin(), parts.end(), [&](const TensorSpec& part) {
    return layout == Layout::kRowMajor || part.shape[1] % block_of(layout) == 0;
  });
  return whole ? layout : Layout::kRowMajor;
}

// As the whole lies, if the cuts are between blocks.
Layout parted_layout(const TensorSpec& whole, const std::vector<Shape>& parts) {
  const int64_t block = block_of(whole.layout);
  const bool between = std::all_of(parts.begin(), parts.end(), [&](const Shape& part) {
    return whole.layout == Layout::kRowMajor || part[1] % block == 0;
  });
  return between ? whole.layout : Layout::kRowMajor;
}

}  // namespace

Result<KernelPtr> plan_concat(const NodeRequest& request) {
  const size_t count = request.inputs.size();
  MOTET_RETURN_IF_ERROR(expect_inputs(request, count == 0 ? 1 : count, count));
  const TensorSpec& first = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 1), first.shape.size()));
  Shape shape = first.shape;
  shape[axis] = 0;
  for (const TensorSpec& in : request.inputs) {
    Shape rest = in.shape;
    if (rest.size() == shape.size()) rest[axis] = shape[axis];
    if (in.dtype != first.dtype || rest != shape) {
      return unsupported(describe(in) + " beside " + describe(first) + " along axis " + std::to_string(axis));
    }
    shape[axis] += in.shape[axis];
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, first.dtype, shape));
  const Layout layout = axis == 1 ? joined_layout(request.inputs) : Layout::kRowMajor;
  if (layout == Layout::kNhwc) axis = 3;
  std::vector<Shape> parts;
  for (const TensorSpec& in : request.inputs) parts.push_back(physical_shape({in.dtype, in.shape, layout}));
  const Shape whole = physical_shape({first.dtype, shape, layout});
  SideBySide plan = side_by_side(parts, whole, axis, dtype_bytes(first.dtype), true);
  KernelTraits traits{.input_layouts = std::vector<Layout>(count, layout), .output_layout = layout};
  return make_kernel(
      [plan = std::move(plan)](const KernelArgs& args, device::Team& team) {
        for (size_t i = 0; i < plan.copies.size(); ++i) {
          plan.copies[i].run(args.inputs[i].data, args.outputs[0].data + plan.offsets[i], team);
        }
      },
      traits);
}

Result<KernelPtr> plan_split(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 2));
  const TensorSpec& in = request.inputs[0];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 0), in.shape.size()));
  MOTET_ASSIGN(auto sizes, ints_of_input_or_attribute(request, 1, "split"));
  const auto parts_wanted = static_cast<int64_t>(request.outputs.size());
  if (!sizes) {
    // Equal parts, the last one smaller if they do not come out even.
    sizes.emplace();
    const int64_t each = (in.shape[axis] + parts_wanted - 1) / parts_wanted;
    for (int64_t rest = in.shape[axis], i = 0; i < parts_wanted; ++i) {
      sizes->push_back(std::min(each, rest));
      rest -= sizes->back();
    }
  }
  std::vector<Shape> parts;
  int64_t total = 0;
  for (int64_t size : *sizes) {
    if (size < 0 || size > in.shape[axis] - total)
      return unsupported("split " + shape_to_string(*sizes) + " of " + describe(in));
    total += size;
    parts.push_back(in.shape);
    parts.back()[axis] = size;
  }
  if (total != in.shape[axis] || sizes->size() != request.outputs.size()) {
    return unsupported("split " + shape_to_string(*sizes) + " of " + describe(in));
  }
  for (size_t o = 0; o < parts.size(); ++o) MOTET_RETURN_IF_ERROR(expect_output(request, o, in.dtype, parts[o]));
  const Layout layout = axis == 1 ? parted_layout(in, parts) : Layout::kRowMajor;
  if (layout == Layout::kNhwc) axis = 3;
  for (Shape& part : parts) part = physical_shape({in.dtype, part, layout});
  SideBySide plan =
      side_by_side(parts, physical_shape({in.dtype, in.shape, layout}), axis, dtype_bytes(in.dtype), false);
  return make_kernel(
      [plan = std::move(plan)](const KernelArgs& args, device::Team& team) {
        for (size_t o = 0; o < plan.copies.size(); ++o) {
          if (args.outputs[o].data == nullptr) continue;
          plan.copies[o].run(args.inputs[0].data + plan.offsets[o], args.outputs[o].data, team);
        }
      },
      {.input_layouts = {layout}, .output_layout = layout});
}

namespace {

// Depth (i * b + j) * M + m goes to channel m of pixel (i, j): runs of memory as long as the layout leaves them.
KernelPtr depth_to_space(const TensorSpec& in, int64_t b) {
  const Shape& s = in.shape;
  const int64_t lanes = in.layout == Layout::kNhwc ? s[1] / (b * b) : block_of(in.layout);
  const int64_t blocks = s[1] / (b * b) / lanes, height = s[2], width = s[3];
  // From [N, i, j, block, H, W, lane] to [N, block, H, i, W, j, lane]; with all channels side by side (one block) depth
  // is the innermost extent of the source.
  const bool inside = in.layout == Layout::kNhwc;
  const int64_t pixel = inside ? s[1] : lanes, plane = height * width * pixel, deep = inside ? lanes : blocks * plane;
  const Shape extents{s[0], blocks, height, b, width, b, lanes};
  const Shape src{s[1] * height * width, plane, width * pixel, b * deep, pixel, deep, 1};
  StridedCopy copy(extents, src, strides_of(extents), dtype_bytes(in.dtype));
  return make_kernel(
      [copy = std::move(copy)](const KernelArgs& args, device::Team& team) {
        copy.run(args.inputs[0].data, args.outputs[0].data, team);
      },
      {.input_layouts = {in.layout}, .output_layout = in.layout});
}

}  // namespace

Result<KernelPtr> plan_depth_to_space(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const int64_t b = request.node.int_or("blocksize", 0);
  const Shape& s = in.shape;
  if (s.size() != 4 || b <= 0 || b > 65536 || s[1] % (b * b) != 0) {
    return unsupported("blocksize " + std::to_string(b) + " of " + describe(in));
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, {s[0], s[1] / (b * b), s[2] * b, s[3] * b}));
  const bool column_first = request.node.string_or("mode", "DCR") == "CRD";
  const bool whole = s[1] / (b * b) % block_of(in.layout) == 0;
  if (!column_first && in.layout != Layout::kRowMajor && whole) return depth_to_space(in, b);
  if (column_first) return permutation({s[0], s[1] / (b * b), b, b, s[2], s[3]}, {0, 1, 4, 2, 5, 3}, in.dtype);
  return permutation({s[0], b, b, s[1] / (b * b), s[2], s[3]}, {0, 3, 4, 1, 5, 2}, in.dtype);
}

Result<KernelPtr> plan_space_to_depth(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const int64_t b = request.node.int_or("blocksize", 0);
  const Shape& s = in.shape;
  if (s.size() != 4 || b <= 0 || b > 65536 || s[2] % b != 0 || s[3] % b != 0) {
    return unsupported("blocksize " + std::to_string(b) + " of " + describe(in));
  }
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, {s[0], s[1] * b * b, s[2] / b, s[3] / b}));
  return permutation({s[0], s[1], s[2] / b, b, s[3] / b, b}, {0, 3, 5, 1, 2, 4}, in.dtype);
}

}  // namespace motet::ops
