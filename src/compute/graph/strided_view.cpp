#include "compute/graph/strided_view.h"

#include <algorithm>

namespace motet::graph {
namespace {

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

std::optional<std::vector<int64_t>> constant_ints(const Value& value) {
  if (!value.constant) return std::nullopt;
  if (value.constant->dtype() == DType::kI64) {
    auto list = value.constant->view().as<int64_t>();
    return std::vector<int64_t>(list.begin(), list.end());
  }
  if (value.constant->dtype() != DType::kI32) return std::nullopt;
  auto list = value.constant->view().as<int32_t>();
  return std::vector<int64_t>(list.begin(), list.end());
}

// A view told by the source's dimensions: where it begins, and for each of its own dimensions the one it walks along
// and the step there.
struct Walk {
  struct Along {
    size_t dimension = 0;
    int64_t step = 0;  // 0: stays
  };
  Shape begin;
  std::vector<Along> along;
};

std::optional<Walk> walk_of(const StridedView& view, const Shape& shape) {
  const Shape strides = strides_of(shape);
  Walk walk;
  int64_t rest = view.offset;
  for (int64_t stride : strides) {
    walk.begin.push_back(rest / stride);
    rest %= stride;
  }
  Shape last = walk.begin;
  for (size_t i = 0; i < view.extents.size(); ++i) {
    Walk::Along along;
    const int64_t stride = view.strides[i], reach = view.extents[i] - 1;
    for (size_t d = 0; stride > 0 && reach > 0 && d < shape.size(); ++d) {
      if (shape[d] == 1 || stride % strides[d] != 0) continue;
      const int64_t step = stride / strides[d];
      if (last[d] + step * reach >= shape[d]) continue;
      along = {d, step};
      last[d] += step * reach;
      break;
    }
    if (stride > 0 && reach > 0 && along.step == 0) return std::nullopt;
    walk.along.push_back(along);
  }
  return walk;
}

// The view on `source`, of whose memory each of the walk's dimensions d lies along with stride `strides`[d].
StridedView view_along(const StridedView& from, const Walk& walk, ValueId source, int64_t offset,
                       const Shape& strides) {
  StridedView view{.source = source, .offset = offset, .extents = from.extents, .scale = from.scale};
  for (size_t d = 0; d < strides.size(); ++d) view.offset += walk.begin[d] * strides[d];
  for (const Walk::Along& along : walk.along)
    view.strides.push_back(along.step == 0 ? 0 : along.step * strides[along.dimension]);
  return view;
}

size_t axis_of(const Node& node, int64_t fallback, size_t rank) {
  const int64_t axis = node.int_or("axis", fallback);
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

// Where slice `o` of a Split, or a Slice with steps of 1, begins in its input: offset in elements.
std::optional<int64_t> begin_of(const Rewriter& rewriter, const Node& node, ValueId made, const Shape& in) {
  const Shape strides = strides_of(in);
  if (node.op == "Split") {
    const size_t axis = axis_of(node, 0, in.size());
    int64_t start = 0;
    for (ValueId output : node.outputs) {
      if (output == made) return start * strides[axis];
      auto shape = output == kNoValue ? std::nullopt : rewriter.value(output).static_shape();
      if (!shape) return std::nullopt;
      start += (*shape)[axis];
    }
    return std::nullopt;
  }
  if (node.inputs.size() < 3) return std::nullopt;
  auto starts = constant_ints(rewriter.value(node.inputs[1]));
  std::optional<std::vector<int64_t>> axes, steps;
  if (node.inputs.size() > 3 && node.inputs[3] != kNoValue) axes = constant_ints(rewriter.value(node.inputs[3]));
  if (node.inputs.size() > 4 && node.inputs[4] != kNoValue) {
    steps = constant_ints(rewriter.value(node.inputs[4]));
    if (!steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s != 1; })) return std::nullopt;
  }
  if (!starts || !axes || starts->size() != axes->size()) return std::nullopt;
  int64_t offset = 0;
  for (size_t i = 0; i < starts->size(); ++i) {
    int64_t axis = (*axes)[i], start = (*starts)[i];
    if (axis < 0) axis += static_cast<int64_t>(in.size());
    if (axis < 0 || axis >= static_cast<int64_t>(in.size())) return std::nullopt;
    const int64_t extent = in[static_cast<size_t>(axis)];
    if (start < 0) start += extent;
    offset += std::clamp<int64_t>(start, 0, extent) * strides[static_cast<size_t>(axis)];
  }
  return offset;
}

std::optional<StridedView> through_scale(const Rewriter& rewriter, const StridedView& view, const Node& node) {
  for (size_t i = 0; i < 2; ++i) {
    auto number = scalar_of(rewriter.value(node.inputs[1 - i]));
    if (!number || (node.op == "Div" && (i != 0 || *number == 0))) continue;
    auto same = rewriter.value(node.inputs[i]).static_shape();
    if (same != rewriter.value(view.source).static_shape()) continue;
    StridedView result = view;
    result.source = node.inputs[i];
    result.scale = node.op == "Div" ? view.scale / *number : view.scale * *number;
    return result;
  }
  return std::nullopt;
}

std::optional<StridedView> through_move(const Rewriter& rewriter, const StridedView& view, const Node& node,
                                        const Shape& out, const Shape& in) {
  const ValueId source = node.inputs[0];
  auto walk = walk_of(view, out);
  if (!walk) return std::nullopt;
  const Shape strides = strides_of(in);
  if (node.op == "Transpose") {
    std::vector<int64_t> order = node.ints_or("perm", {});
    if (order.size() != in.size()) return std::nullopt;
    Shape along;
    for (int64_t axis : order) along.push_back(strides[static_cast<size_t>(axis)]);
    return view_along(view, *walk, source, 0, along);
  }
  if (node.op == "Split" || node.op == "Slice") {
    auto offset = begin_of(rewriter, node, view.source, in);
    if (!offset || out.size() != in.size()) return std::nullopt;
    return view_along(view, *walk, source, *offset, strides);
  }
  if (node.op == "Expand") {
    Shape along(out.size());
    for (size_t d = 0; d < in.size(); ++d) {
      const size_t to = out.size() - in.size() + d;
      if (in[d] != 1) along[to] = strides[d];
    }
    return view_along(view, *walk, source, 0, along);
  }
  // Gather of one place: a dimension of the input that the output does not have.
  auto place = constant_ints(rewriter.value(node.inputs[1]));
  const size_t axis = axis_of(node, 0, in.size());
  if (!place || place->size() != 1 || out.size() + 1 != in.size()) return std::nullopt;
  const int64_t at = (*place)[0] < 0 ? (*place)[0] + in[axis] : (*place)[0];
  if (at < 0 || at >= in[axis]) return std::nullopt;
  Shape along = strides;
  along.erase(along.begin() + static_cast<std::ptrdiff_t>(axis));
  return view_along(view, *walk, source, at * strides[axis], along);
}

}  // namespace

std::optional<StridedView> view_of(const Rewriter& rewriter, ValueId id) {
  auto shape = rewriter.value(id).static_shape();
  if (!shape || elements(*shape) == 0) return std::nullopt;
  StridedView view{.source = id, .extents = *shape, .strides = strides_of(*shape)};
  for (size_t d = 0; d < shape->size(); ++d)
    if ((*shape)[d] == 1) view.strides[d] = 0;
  return view;
}

std::optional<StridedView> step_back(const Rewriter& rewriter, const StridedView& view) {
  const int maker = rewriter.maker(view.source);
  if (maker < 0 || rewriter.removed(maker) || rewriter.value(view.source).constant) return std::nullopt;
  const Node& node = rewriter.node(maker);
  if (!node.domain.empty() || !node.post_ops.empty() || node.inputs.empty() || node.inputs[0] == kNoValue)
    return std::nullopt;
  if (node.op == "Mul" || node.op == "Div") return through_scale(rewriter, view, node);
  auto in = rewriter.value(node.inputs[0]).static_shape(), out = rewriter.value(view.source).static_shape();
  if (!in || !out || elements(*in) == 0) return std::nullopt;
  if (node.op == "Reshape" || node.op == "Squeeze" || node.op == "Unsqueeze" || node.op == "Flatten" ||
      node.op == "Identity") {
    StridedView same = view;
    same.source = node.inputs[0];
    return same;
  }
  const bool moves = node.op == "Transpose" || node.op == "Split" || node.op == "Slice" || node.op == "Expand" ||
                     (node.op == "Gather" && node.inputs.size() == 2);
  return moves ? through_move(rewriter, view, node, *out, *in) : std::nullopt;
}

}  // namespace motet::graph
