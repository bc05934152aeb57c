// Ops that pick, place or reorder elements by index.
#include <algorithm>
#include <map>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<SymShape> copy_of(const SymShape* shape) {
  return shape == nullptr ? std::nullopt : std::optional(*shape);
}

Status same_as_first(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

struct Bounds {
  int64_t start = 0, end = 0, step = 1;
};

// Start and number of elements of one sliced axis, by ONNX Slice's clamping.
std::pair<int64_t, int64_t> clamp_slice(const Bounds& b, int64_t extent) {
  if (extent == 0) return {0, 0};
  auto clamp = [&](int64_t at, int64_t low, int64_t high) { return std::clamp(at < 0 ? at + extent : at, low, high); };
  int64_t start = b.step > 0 ? clamp(b.start, 0, extent) : clamp(b.start, 0, extent - 1);
  int64_t end = b.step > 0 ? clamp(b.end, 0, extent) : clamp(b.end, -1, extent - 1);
  int64_t span = b.step > 0 ? end - start : start - end;
  uint64_t stride = b.step > 0 ? static_cast<uint64_t>(b.step) : uint64_t{0} - static_cast<uint64_t>(b.step);
  if (span <= 0) return {start, 0};
  return {start, static_cast<int64_t>((static_cast<uint64_t>(span) - 1) / stride) + 1};
}

Status slice(Inference& n) {
  const SymShape* from = n.shape(0);
  bool attributes = n.node().find("starts") != nullptr;
  auto list = [&](std::string_view key, size_t i) -> std::optional<std::vector<int64_t>> {
    return attributes ? std::optional(n.node().ints_or(key, {})) : n.ints(i);
  };
  auto starts = list("starts", 1), ends = list("ends", 2), axes = list("axes", 3), steps = list("steps", 4);
  bool axes_given = attributes ? n.node().find("axes") != nullptr : n.has(3);
  bool steps_given = !attributes && n.has(4);
  if (from == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  SymShape to = *from;
  if ((axes_given && !axes) || (steps_given && !steps)) {
    n.set(0, n.dtype(0), unknown_shape(from->size()));
    return {};
  }
  size_t count = axes_given ? axes->size() : starts ? starts->size() : ends ? ends->size() : from->size();
  if (count > from->size() || (starts && starts->size() != count) || (ends && ends->size() != count) ||
      (steps_given && steps->size() != count)) {
    return n.error("starts, ends, axes and steps must have equal lengths, up to the rank of " + shape_text(*from));
  }
  for (size_t i = 0; i < count; ++i) {
    MOTET_ASSIGN(size_t axis, n.axis(axes_given ? (*axes)[i] : static_cast<int64_t>(i), from->size()));
    Dim& dim = to[axis];
    Bounds b{starts ? (*starts)[i] : 0, ends ? (*ends)[i] : 0, steps_given ? (*steps)[i] : 1};
    if (b.step == 0) return n.error("a step is 0");
    if (starts && ends && dim.known()) {
      auto [start, size] = clamp_slice(b, dim.extent);
      auto whole = from->size() == 1 ? n.data(0) : std::nullopt;
      if (whole && static_cast<int64_t>(whole->size()) == dim.extent) {
        IntData data;
        for (int64_t k = 0; k < size; ++k) data.push_back((*whole)[static_cast<size_t>(start + k * b.step)]);
        n.set_data(0, std::move(data));
      }
      dim = dim_of(size);
    } else {
      bool all = starts && ends && b.start == 0 && b.step == 1 && b.end >= INT32_MAX;
      bool empty = starts && ends && b.step == 1 && b.start == b.end;
      // From the end: the last k of an open extent cannot be told from all of a shorter one.
      if (!all) dim = empty ? dim_of(0) : unknown_dim();
    }
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status gather(Inference& n) {
  const SymShape* data = n.shape(0);
  const SymShape* index = n.shape(1);
  if (data == nullptr || index == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 1));
  MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", 0), data->size()));
  SymShape to(data->begin(), data->begin() + static_cast<std::ptrdiff_t>(axis));
  to.insert(to.end(), index->begin(), index->end());
  to.insert(to.end(), data->begin() + static_cast<std::ptrdiff_t>(axis) + 1, data->end());
  n.set(0, n.dtype(0), to);
  auto values = n.data(0);
  auto picks = n.ints(1);
  if (!values || !picks || data->size() != 1 || index->size() > 1) return {};
  IntData out;
  auto count = static_cast<int64_t>(values->size());
  for (int64_t pick : *picks) {
    if (pick < -count || pick >= count)
      return n.error("index " + std::to_string(pick) + " is outside " + shape_text(*data));
    out.push_back((*values)[static_cast<size_t>(pick < 0 ? pick + count : pick)]);
  }
  n.set_data(0, std::move(out));
  return {};
}

Status gather_elements(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(1)));
  return {};
}

Status gather_nd(Inference& n) {
  const SymShape* data = n.shape(0);
  const SymShape* index = n.shape(1);
  if (data == nullptr || index == nullptr || index->empty() || !index->back().known()) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  int64_t batch = n.node().int_or("batch_dims", 0);
  int64_t depth = index->back().extent;
  auto rank = static_cast<int64_t>(data->size());
  if (batch < 0 || batch >= static_cast<int64_t>(index->size()) || depth < 1 || depth > rank - batch) {
    return n.error("indices of shape " + shape_text(*index) + " with batch_dims " + std::to_string(batch) +
                   " do not fit data of shape " + shape_text(*data));
  }
  SymShape to(index->begin(), index->end() - 1);
  to.insert(to.end(), data->begin() + static_cast<std::ptrdiff_t>(batch + depth), data->end());
  n.set(0, n.dtype(0), to);
  return {};
}

Status pad(Inference& n) {
  const SymShape* from = n.shape(0);
  if (from == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  bool attribute = n.node().find("pads") != nullptr;
  auto pads = attribute ? std::optional(n.node().ints_or("pads", {})) : n.ints(1);
  std::vector<size_t> where(from->size());
  for (size_t i = 0; i < where.size(); ++i) where[i] = i;
  if (n.has(3)) {
    auto axes = n.ints(3);
    if (!axes) pads.reset();
    if (axes) {
      MOTET_ASSIGN(where, n.axes(*axes, from->size()));
    }
  }
  if (!pads) {
    n.set(0, n.dtype(0), unknown_shape(from->size()));
    return {};
  }
  if (pads->size() != 2 * where.size()) {
    return n.error("has " + std::to_string(pads->size()) + " pads; shape " + shape_text(*from) + " takes " +
                   std::to_string(2 * where.size()));
  }
  SymShape to = *from;
  for (size_t i = 0; i < where.size(); ++i) {
    auto both = checked_add((*pads)[i], (*pads)[i + where.size()]);
    if (!both) return n.error("its pads overflow");
    Dim& dim = to[where[i]];
    auto extent = dim.known() ? checked_add(dim.extent, *both) : std::nullopt;
    if (dim.known() && (!extent || *extent < 0)) {
      return n.error("pads extent " + std::to_string(dim.extent) + " by " + std::to_string(*both));
    }
    if (*both != 0) dim = extent ? dim_of(*extent) : unknown_dim();
  }
  n.set(0, n.dtype(0), to);
  return {};
}

// The only element of a constant of a number type, as an extent.
std::optional<Dim> extent_of(const Tensor* constant) {
  if (constant == nullptr || constant->view().elements() != 1) return std::nullopt;
  double value = 0;
  switch (constant->dtype()) {
    case DType::kU8: value = constant->view().as<uint8_t>()[0]; break;
    case DType::kI8: value = constant->view().as<int8_t>()[0]; break;
    case DType::kI32: value = constant->view().as<int32_t>()[0]; break;
    case DType::kF32: value = constant->view().as<float>()[0]; break;
    case DType::kF64: value = constant->view().as<double>()[0]; break;
    default: return std::nullopt;
  }
  constexpr double kMost = 1e15;
  return value >= 0 && value <= kMost ? std::optional(dim_of(static_cast<int64_t>(value))) : std::nullopt;
}

Status one_hot(Inference& n) {
  const SymShape* index = n.shape(0);
  std::optional<SymShape> to;
  if (index != nullptr) {
    MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", -1), index->size() + 1));
    to = *index;
    auto depth = n.data(1);
    Dim extent = depth && depth->size() == 1 ? (*depth)[0].dim() : extent_of(n.constant(1)).value_or(unknown_dim());
    to->insert(to->begin() + static_cast<std::ptrdiff_t>(axis), extent);
  }
  n.set(0, n.dtype(2), to);
  return {};
}

Status top_k(Inference& n) {
  const SymShape* from = n.shape(0);
  std::optional<SymShape> to;
  if (from != nullptr) {
    MOTET_RETURN_IF_ERROR(n.check_rank(0, 1));
    MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", -1), from->size()));
    to = *from;
    auto k = n.node().find("k") != nullptr ? std::optional(IntData{Int{n.node().int_or("k", 0), ""}}) : n.data(1);
    Dim extent = k && k->size() == 1 ? (*k)[0].dim() : unknown_dim();
    if (extent.known() && (*from)[axis].known() && extent.extent > (*from)[axis].extent) {
      return n.error("k is " + std::to_string(extent.extent) + ", more than the " +
                     std::to_string((*from)[axis].extent) + " of axis " + std::to_string(axis));
    }
    (*to)[axis] = extent;
  }
  n.set(0, n.dtype(0), to);
  n.set(1, DType::kI64, to);
  return {};
}

Status non_zero(Inference& n) {
  auto rank = n.rank(0);
  SymShape to = unknown_shape(2);
  if (rank) to[0] = dim_of(static_cast<int64_t>(*rank));
  n.set(0, DType::kI64, to);
  return {};
}

Status compress(Inference& n) {
  const SymShape* from = n.shape(0);
  std::optional<SymShape> to;
  if (n.node().find("axis") == nullptr) {
    to = unknown_shape(1);
  } else if (from != nullptr) {
    MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", 0), from->size()));
    to = *from;
    (*to)[axis] = unknown_dim();
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status unique(Inference& n) {
  MOTET_RETURN_IF_ERROR(compress(n));  // the first output keeps some slices along the axis, or some elements
  for (size_t o = 1; o < 4; ++o) n.set(o, DType::kI64, unknown_shape(1));
  return {};
}

Status non_max_suppression(Inference& n) {
  n.set(0, DType::kI64, SymShape{unknown_dim(), dim_of(3)});
  return {};
}

Status eye_like(Inference& n) {
  int64_t to = n.node().int_or("dtype", 0);
  n.set(0, to > 0 && to < 1000 ? dtype_from_onnx(static_cast<int>(to)) : n.dtype(0), copy_of(n.shape(0)));
  return {};
}

Status bit_cast(Inference& n) {
  int64_t to = n.node().int_or("to", 0);
  n.set(0, to > 0 && to < 1000 ? dtype_from_onnx(static_cast<int>(to)) : std::nullopt, copy_of(n.shape(0)));
  return {};
}

constexpr RuleRow kRules[] = {
    {"BitCast", bit_cast},
    {"Slice", slice},
    {"Gather", gather},
    {"GatherElements", gather_elements},
    {"GatherND", gather_nd},
    {"Scatter", same_as_first},
    {"ScatterElements", same_as_first},
    {"ScatterND", same_as_first},
    {"TensorScatter", same_as_first},
    {"Pad", pad},
    {"OneHot", one_hot},
    {"TopK", top_k},
    {"NonZero", non_zero},
    {"Compress", compress},
    {"Unique", unique},
    {"NonMaxSuppression", non_max_suppression},
    {"EyeLike", eye_like},
    {"CumSum", same_as_first},
    {"CumProd", same_as_first},
    {"Trilu", same_as_first},
    {"ReverseSequence", same_as_first},
};

}  // namespace

std::span<const RuleRow> index_rules() { return kRules; }

}  // namespace motet::graph
