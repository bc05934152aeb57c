// Reductions, softmax and normalisations.
#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

std::optional<SymShape> copy_of(const SymShape* shape) {
  return shape == nullptr ? std::nullopt : std::optional(*shape);
}

Status reduce(Inference& n) {
  const SymShape* from = n.shape(0);
  AxisList list = axis_list(n, "axes", 1);
  bool keep = n.node().int_or("keepdims", 1) != 0;
  if (from == nullptr || (list.present && !list.values)) {
    n.set(0, n.dtype(0), from != nullptr && keep ? std::optional(unknown_shape(from->size())) : std::nullopt);
    return {};
  }
  std::vector<bool> gone(from->size(), false);
  if (!list.present || list.values->empty()) {
    gone.assign(from->size(), n.node().int_or("noop_with_empty_axes", 0) == 0);
  } else {
    MOTET_ASSIGN(auto axes, n.axes(*list.values, from->size()));
    for (size_t a : axes) gone[a] = true;
  }
  SymShape to;
  for (size_t i = 0; i < from->size(); ++i) {
    if (!gone[i]) to.push_back((*from)[i]);
    if (gone[i] && keep) to.push_back(dim_of(1));
  }
  n.set(0, n.dtype(0), to);
  return {};
}

Status reduce_product(Inference& n) {
  MOTET_RETURN_IF_ERROR(reduce(n));
  auto data = n.data(0);
  if (!data || n.rank(0) != 1u || n.node().op != "ReduceProd") return {};
  Dim product = dim_of(1);
  for (const Int& item : *data) product = multiply(product, item.dim());
  if (product.known() || !product.symbol.empty()) n.set_data(0, {Int::of(product)});
  return {};
}

Status arg_extreme(Inference& n) {
  const SymShape* from = n.shape(0);
  if (from == nullptr) {
    n.set(0, DType::kI64, std::nullopt);
    return {};
  }
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 1));
  MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", 0), from->size()));
  SymShape to = *from;
  if (n.node().int_or("keepdims", 1) != 0) {
    to[axis] = dim_of(1);
  } else {
    to.erase(to.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  n.set(0, DType::kI64, to);
  return {};
}

Status softmax(Inference& n) {
  const SymShape* x = n.shape(0);
  if (x != nullptr && !x->empty()) {
    MOTET_RETURN_IF_ERROR(n.axis(n.node().int_or("axis", n.node().opset < 13 ? 1 : -1), x->size()));
  }
  n.set(0, n.dtype(0), copy_of(x));
  return {};
}

Status normalise(Inference& n) {
  n.set(0, n.dtype(0), copy_of(n.shape(0)));
  return {};
}

// Scale, shift, mean and variance are one number per channel.
Status batch_norm(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 1));
  const SymShape* x = n.shape(0);
  Dim channels = x == nullptr ? unknown_dim() : x->size() > 1 ? (*x)[1] : dim_of(1);
  for (size_t i = 1; i < 5; ++i) {
    const SymShape* p = n.shape(i);
    if (p == nullptr || n.node().int_or("spatial", 1) == 0) continue;
    if (p->size() != 1 || conflict((*p)[0], channels)) {
      return n.error("input " + std::to_string(i) + " has shape " + shape_text(*p) + "; the data has shape " +
                     shape_text(*x));
    }
  }
  n.set(0, n.dtype(0), copy_of(x));
  for (size_t o = 1; o < 5; ++o) n.set(o, n.dtype(3), SymShape{channels});
  return {};
}

// Outputs 1 and 2 (mean and inverse deviation) have extent 1 from `axis` on.
Status layer_norm(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 1));
  const SymShape* x = n.shape(0);
  n.set(0, n.dtype(0), copy_of(x));
  if (x == nullptr) return {};
  MOTET_ASSIGN(size_t axis, n.axis(n.node().int_or("axis", -1), x->size()));
  SymShape statistics = *x;
  for (size_t i = axis; i < statistics.size(); ++i) statistics[i] = dim_of(1);
  n.set(1, DType::kF32, statistics);
  n.set(2, DType::kF32, statistics);
  return {};
}

Status channel_norm(Inference& n) {
  MOTET_RETURN_IF_ERROR(n.check_rank(0, 2));
  return normalise(n);
}

constexpr RuleRow kRules[] = {
    {"ReduceSum", reduce},
    {"ReduceMean", reduce},
    {"ReduceMax", reduce},
    {"ReduceMin", reduce},
    {"ReduceProd", reduce_product},
    {"ReduceL1", reduce},
    {"ReduceL2", reduce},
    {"ReduceLogSum", reduce},
    {"ReduceLogSumExp", reduce},
    {"ReduceSumSquare", reduce},
    {"ArgMax", arg_extreme},
    {"ArgMin", arg_extreme},
    {"Softmax", softmax},
    {"LogSoftmax", softmax},
    {"BatchNormalization", batch_norm},
    {"LayerNormalization", layer_norm},
    {"RMSNormalization", normalise},
    {"InstanceNormalization", channel_norm},
    {"GroupNormalization", channel_norm},
    {"LRN", channel_norm},
    {"LpNormalization", normalise},
    {"MeanVarianceNormalization", normalise},
};

}  // namespace

std::span<const RuleRow> reduce_rules() { return kRules; }

}  // namespace motet::graph
