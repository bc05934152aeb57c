// Ops about shapes: those that read them, and those that rearrange a tensor without looking at its elements.
#include <algorithm>
#include <numeric>

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

Status shape_rule(Inference& n) {
  const SymShape* shape = n.shape(0);
  auto rank = n.rank(0);
  int64_t start = n.node().int_or("start", 0);
  int64_t end = n.node().int_or("end", INT64_MAX);
  if (!rank) {
    n.set(0, DType::kI64, unknown_shape(1));
    return {};
  }
  auto limit = static_cast<int64_t>(*rank);
  auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + limit : at, 0, limit); };
  start = clamp(start);
  end = clamp(end);
  IntData data;
  data.reserve(rank.value());
  for (int64_t i = start; i < end; ++i) data.push_back(Int::of((*shape)[static_cast<size_t>(i)]));
  n.set(0, DType::kI64, SymShape{dim_of(static_cast<int64_t>(data.size()))});
  n.set_data(0, std::move(data));
  return {};
}

Status size_rule(Inference& n) {
  n.set(0, DType::kI64, SymShape());
  const SymShape* shape = n.shape(0);
  if (shape == nullptr) return {};
  Dim product = dim_of(1);
  for (const Dim& dim : *shape) product = multiply(product, dim);
  n.set_data(0, {Int::of(product)});
  return {};
}

// The product of all extents but those whose symbol also stands, once, in `other`: lets [N,16,4] reshape to [N,-1].
struct Volume {
  int64_t known = 1;
  bool sound = true;                 // no overflow, no unknown extent without symbol
  std::vector<std::string> symbols;  // sorted
};

Volume volume(const SymShape& shape) {
  Volume out;
  for (const Dim& dim : shape) {
    if (dim.known()) {
      auto product = checked_multiply(out.known, dim.extent);
      out.sound = out.sound && product.has_value();
      out.known = product.value_or(0);
    } else {
      out.sound = out.sound && !dim.symbol.empty();
      out.symbols.push_back(dim.symbol);
    }
  }
  std::sort(out.symbols.begin(), out.symbols.end());
  return out;
}

// The extent that makes `others` times it as large as `whole`: a number, or one symbol left over, or unknown.
Result<Dim> remaining(const Inference& n, const SymShape& whole, const SymShape& others) {
  Volume a = volume(whole), b = volume(others);
  if (!a.sound || !b.sound) return unknown_dim();
  std::vector<std::string> left, extra;
  std::set_difference(a.symbols.begin(), a.symbols.end(), b.symbols.begin(), b.symbols.end(), std::back_inserter(left));
  std::set_difference(b.symbols.begin(), b.symbols.end(), a.symbols.begin(), a.symbols.end(),
                      std::back_inserter(extra));
  if (!extra.empty()) return unknown_dim();
  if (left.empty() && a.symbols.empty()) {
    if (b.known == 0 || a.known % b.known != 0) {
      return n.error("cannot reshape " + shape_text(whole) + " into " + shape_text(others) + " and one more dimension");
    }
    return dim_of(a.known / b.known);
  }
  if (b.known == 0 || a.known % b.known != 0) return unknown_dim();
  if (left.empty()) return dim_of(a.known / b.known);
  return left.size() == 1 && a.known == b.known ? Dim{-1, left[0]} : unknown_dim();
}

// Extents that only an open rest of the input's volume can be filled in.
Status check_volume(const Inference& n, const SymShape& from, const SymShape& to) {
  Volume a = volume(from), b = volume(to);
  if (!a.sound || !b.sound || !a.symbols.empty() || !b.symbols.empty() || a.known == b.known) return {};
  return n.error("cannot reshape " + shape_text(from) + " (" + std::to_string(a.known) + " elements) into " +
                 shape_text(to) + " (" + std::to_string(b.known) + ")");
}

Status reshape(Inference& n) {
  const SymShape* from = n.shape(0);
  auto target = n.data(1);
  if (!target) {
    const SymShape* list = n.shape(1);
    bool counted =
        list != nullptr && list->size() == 1 && (*list)[0].known() && (*list)[0].extent <= int64_t{kMaxInferredRank};
    n.set(0, n.dtype(0), counted ? std::optional(unknown_shape(static_cast<size_t>((*list)[0].extent))) : std::nullopt);
    return {};
  }
  bool keep_zero = n.node().int_or("allowzero", 0) != 0;
  SymShape to;
  std::optional<size_t> open;
  for (size_t i = 0; i < target->size(); ++i) {
    const Int& item = (*target)[i];
    if (item.value == -1) {
      if (open) return n.error("its shape has two extents of -1; one is accepted");
      open = i;
      to.push_back(unknown_dim());
    } else if (item.value && *item.value < -1) {
      return n.error("its shape has the extent " + std::to_string(*item.value) + "; -1 and up are accepted");
    } else if (item.value == 0 && !keep_zero) {
      if (from != nullptr && i >= from->size())
        return n.error("its shape copies dimension " + std::to_string(i) + " of " + shape_text(*from));
      to.push_back(from == nullptr ? unknown_dim() : (*from)[i]);
    } else {
      to.push_back(item.dim());
    }
  }
  if (from != nullptr && open) {
    SymShape others = to;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(*open));
    MOTET_ASSIGN(to[*open], remaining(n, *from, others));
  } else if (from != nullptr) {
    MOTET_RETURN_IF_ERROR(check_volume(n, *from, to));
  }
  n.set(0, n.dtype(0), to);
  if (to.size() <= 1 && n.data(0)) n.set_data(0, *n.data(0));
  return {};
}

Status squeeze(Inference& n) {
  const SymShape* from = n.shape(0);
  AxisList list = axis_list(n, "axes", 1);
  std::optional<SymShape> to;
  if (from != nullptr && list.present && list.values) {
    MOTET_ASSIGN(auto axes, n.axes(*list.values, from->size()));
    std::vector<bool> drop(from->size(), false);
    for (size_t a : axes) {
      if ((*from)[a].known() && (*from)[a].extent != 1) {
        return n.error("cannot squeeze axis " + std::to_string(a) + " of " + shape_text(*from) +
                       "; its extent must be 1");
      }
      drop[a] = true;
    }
    to.emplace();
    for (size_t i = 0; i < from->size(); ++i)
      if (!drop[i]) to->push_back((*from)[i]);
  } else if (from != nullptr && !list.present) {
    bool sure = std::all_of(from->begin(), from->end(), [](const Dim& dim) { return dim.known(); });
    if (sure) {
      to.emplace();
      for (const Dim& dim : *from)
        if (dim.extent != 1) to->push_back(dim);
    }
  }
  n.set(0, n.dtype(0), to);
  if (to && to->empty() && n.data(0)) n.set_data(0, *n.data(0));
  return {};
}

Status unsqueeze(Inference& n) {
  const SymShape* from = n.shape(0);
  AxisList list = axis_list(n, "axes", 1);
  if (from == nullptr || !list.values) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  size_t rank = from->size() + list.values->size();
  if (rank > kMaxInferredRank) return n.error("its result would have rank " + std::to_string(rank));
  MOTET_ASSIGN(auto axes, n.axes(*list.values, rank));
  std::vector<bool> fresh(rank, false);
  for (size_t a : axes) fresh[a] = true;
  SymShape to;
  to.reserve(rank);
  size_t at = 0;
  for (size_t i = 0; i < rank; ++i) to.push_back(fresh[i] ? dim_of(1) : (*from)[at++]);
  n.set(0, n.dtype(0), to);
  if (rank <= 1 && n.data(0)) n.set_data(0, *n.data(0));
  return {};
}

Status flatten(Inference& n) {
  const SymShape* from = n.shape(0);
  if (from == nullptr) {
    n.set(0, n.dtype(0), unknown_shape(2));
    return {};
  }
  int64_t axis = n.node().int_or("axis", 1);
  auto rank = static_cast<int64_t>(from->size());
  if (axis < -rank || axis > rank)
    return n.error("axis " + std::to_string(axis) + " is outside the rank of " + shape_text(*from));
  if (axis < 0) axis += rank;
  SymShape to(2, dim_of(1));
  for (int64_t i = 0; i < rank; ++i) {
    Dim& side = to[i < axis ? 0 : 1];
    side = multiply(side, (*from)[static_cast<size_t>(i)]);
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status transpose(Inference& n) {
  const SymShape* from = n.shape(0);
  if (from == nullptr) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  std::vector<int64_t> perm(from->size());
  std::iota(perm.rbegin(), perm.rend(), 0);
  perm = n.node().ints_or("perm", std::move(perm));
  if (perm.size() != from->size()) {
    return n.error("perm has " + std::to_string(perm.size()) + " entries for an input of shape " + shape_text(*from));
  }
  MOTET_ASSIGN(auto axes, n.axes(perm, from->size()));
  SymShape to;
  to.reserve(axes.size());
  for (size_t a : axes) to.push_back((*from)[a]);
  n.set(0, n.dtype(0), to);
  return {};
}

Status expand(Inference& n) {
  const SymShape* from = n.shape(0);
  auto target = n.data(1);
  if (from == nullptr || !target) {
    n.set(0, n.dtype(0), std::nullopt);
    return {};
  }
  SymShape wanted;
  for (const Int& item : *target) {
    if (item.value && *item.value < 0) return n.error("its shape has the extent " + std::to_string(*item.value));
    wanted.push_back(item.dim());
  }
  MOTET_ASSIGN(SymShape to, broadcast(n, *from, wanted));
  n.set(0, n.dtype(0), to);
  return {};
}

Status tile(Inference& n) {
  const SymShape* from = n.shape(0);
  auto repeats = n.ints(1);
  if (from == nullptr || !repeats) {
    n.set(0, n.dtype(0), from == nullptr ? std::nullopt : std::optional(unknown_shape(from->size())));
    return {};
  }
  if (repeats->size() != from->size()) {
    return n.error("has " + std::to_string(repeats->size()) + " repeats for an input of shape " + shape_text(*from));
  }
  SymShape to;
  for (size_t i = 0; i < from->size(); ++i) {
    if ((*repeats)[i] < 0) return n.error("repeats " + std::to_string((*repeats)[i]) + " times");
    to.push_back(multiply((*from)[i], dim_of((*repeats)[i])));
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status concat(Inference& n) {
  std::optional<SymShape> to;
  std::optional<size_t> axis;
  IntData data;
  bool follow = true;
  std::optional<DType> dtype;
  for (size_t i = 0; i < n.input_count(); ++i) {
    if (!dtype) dtype = n.dtype(i);
    if (n.dtype(i) && *n.dtype(i) != *dtype) return n.error("its inputs have different types");
    auto part = n.data(i);
    follow = follow && part && n.rank(i) == 1u;
    if (follow) data.insert(data.end(), part->begin(), part->end());
    follow = follow && data.size() <= kMaxIntData;
  }
  for (size_t i = 0; i < n.input_count(); ++i) {
    const SymShape* shape = n.shape(i);
    if (shape == nullptr) {
      n.set(0, dtype, std::nullopt);
      return {};
    }
    if (!to) {
      to = *shape;
      MOTET_ASSIGN(axis, n.axis(n.node().int_or("axis", 1), shape->size()));
      continue;
    }
    if (shape->size() != to->size())
      return n.error("cannot concatenate shapes " + shape_text(*to) + " and " + shape_text(*shape));
    for (size_t d = 0; d < to->size(); ++d) {
      if (d == *axis) {
        (*to)[d] = add((*to)[d], (*shape)[d]);
      } else if (conflict((*to)[d], (*shape)[d])) {
        return n.error("cannot concatenate along axis " + std::to_string(*axis) + ": extents " +
                       std::to_string((*to)[d].extent) + " and " + std::to_string((*shape)[d].extent) + " of axis " +
                       std::to_string(d) + " differ");
      } else {
        (*to)[d] = merge((*to)[d], (*shape)[d]);
      }
    }
  }
  n.set(0, dtype, to);
  if (follow) n.set_data(0, std::move(data));
  return {};
}

Status split(Inference& n) {
  const SymShape* from = n.shape(0);
  size_t parts = n.output_count();
  if (from == nullptr) {
    for (size_t o = 0; o < parts; ++o) n.set(o, n.dtype(0), std::nullopt);
    return {};
  }
  MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", 0), from->size()));
  const Dim& whole = (*from)[axis];
  AxisList sizes = axis_list(n, "split", 1);
  int64_t count = n.node().int_or("num_outputs", static_cast<int64_t>(parts));
  if (count != static_cast<int64_t>(parts))
    return n.error("num_outputs is " + std::to_string(count) + " but it has " + std::to_string(parts) + " outputs");
  if (sizes.present && sizes.values) {
    if (sizes.values->size() != parts)
      return n.error("has " + std::to_string(sizes.values->size()) + " sizes for " + std::to_string(parts) +
                     " outputs");
    int64_t sum = 0;
    for (int64_t size : *sizes.values) {
      auto next = size < 0 ? std::nullopt : checked_add(sum, size);
      if (!next) return n.error("splits off a part of " + std::to_string(size));
      sum = *next;
    }
    if (whole.known() && sum != whole.extent) {
      return n.error("its parts sum to " + std::to_string(sum) + ", but axis " + std::to_string(axis) + " has " +
                     std::to_string(whole.extent));
    }
  }
  bool even = n.node().opset < 18 || n.node().find("num_outputs") == nullptr;
  if (!sizes.present && even && whole.known() && whole.extent % count != 0) {
    return n.error("cannot split " + std::to_string(whole.extent) + " into " + std::to_string(count) + " equal parts");
  }
  int64_t chunk = whole.known() ? (whole.extent + count - 1) / count : 0;
  for (size_t o = 0; o < parts; ++o) {
    SymShape to = *from;
    auto index = static_cast<int64_t>(o);
    if (sizes.present) {
      to[axis] = sizes.values ? dim_of((*sizes.values)[o]) : unknown_dim();
    } else {
      to[axis] = whole.known() ? dim_of(std::clamp<int64_t>(whole.extent - index * chunk, 0, chunk))
                 : parts == 1  ? whole
                               : unknown_dim();
    }
    n.set(o, n.dtype(0), to);
  }
  return {};
}

Status constant_of_shape(Inference& n) {
  DType dtype = DType::kF32;
  const Attribute* value = n.node().find("value");
  if (value != nullptr) dtype = std::get<Tensor>(*value).dtype();
  auto extents = n.data(0);
  if (!extents) {
    const SymShape* list = n.shape(0);
    bool counted =
        list != nullptr && list->size() == 1 && (*list)[0].known() && (*list)[0].extent <= int64_t{kMaxInferredRank};
    n.set(0, dtype, counted ? std::optional(unknown_shape(static_cast<size_t>((*list)[0].extent))) : std::nullopt);
    return {};
  }
  SymShape to;
  for (const Int& item : *extents) {
    if (item.value && *item.value < 0) return n.error("its shape has the extent " + std::to_string(*item.value));
    to.push_back(item.dim());
  }
  n.set(0, dtype, to);
  return {};
}

Status range(Inference& n) {
  SymShape to = unknown_shape(1);
  auto start = n.ints(0), limit = n.ints(1), step = n.ints(2);
  if (start && limit && step && start->size() == 1 && limit->size() == 1 && step->size() == 1) {
    if ((*step)[0] == 0) return n.error("its step is 0");
    auto span = (*start)[0] == INT64_MIN ? std::nullopt : checked_add((*limit)[0], -(*start)[0]);
    if (span) {
      int64_t d = (*step)[0];
      bool forward = (*span > 0) == (d > 0) && *span != 0;
      int64_t count = forward ? *span / d + (*span % d != 0 ? 1 : 0) : 0;
      to[0] = dim_of(count);
    }
  } else {
    auto scalar = [&](size_t i) -> std::optional<double> {
      const Tensor* t = n.constant(i);
      if (t == nullptr || t->elements() != 1) return std::nullopt;
      if (t->dtype() == DType::kF32) return t->view().as<const float>()[0];
      if (t->dtype() == DType::kF64) return t->view().as<const double>()[0];
      return std::nullopt;
    };
    auto a = scalar(0), b = scalar(1), d = scalar(2);
    if (a && b && d && *d != 0) {
      double count = (*b - *a) / *d;
      if (count >= 0 && count < 1e15)
        to[0] =
            dim_of(static_cast<int64_t>(count) + (count > static_cast<double>(static_cast<int64_t>(count)) ? 1 : 0));
      if (count < 0) to[0] = dim_of(0);
    }
  }
  n.set(0, n.dtype(0), to);
  return {};
}

constexpr RuleRow kRules[] = {
    {"Shape", shape_rule},    {"Size", size_rule},  {"Reshape", reshape},     {"Squeeze", squeeze},
    {"Unsqueeze", unsqueeze}, {"Flatten", flatten}, {"Transpose", transpose}, {"Expand", expand},
    {"Tile", tile},           {"Concat", concat},   {"Split", split},         {"ConstantOfShape", constant_of_shape},
    {"Range", range},
};

}  // namespace

std::span<const RuleRow> shape_rules() { return kRules; }

}  // namespace motet::graph
