// Unique: equal elements, or equal slices along an axis, once each.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "compute/ops/choose/choose.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

// The input as `count` slices of `outer` runs of `inner` elements.
struct Slices {
  int64_t count = 0, outer = 1, inner = 1;
  int64_t at(int64_t slice, int64_t o) const { return (o * count + slice) * inner; }
};

// Negative, zero or positive; NaN is equal to itself and beyond everything else.
template <class T>
int compare(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return static_cast<int>(std::isnan(a)) - static_cast<int>(std::isnan(b));
  }
  return a < b ? -1 : b < a ? 1 : 0;
}

struct Groups {
  std::vector<int64_t> first;   // of each group, in the order asked for
  std::vector<int64_t> where;   // per slice: its group
  std::vector<int64_t> counts;  // per group
};

template <class Less>
Groups group(int64_t count, bool sorted, Less&& less) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return less(a, b) || (!less(b, a) && a < b); });
  std::vector<int64_t> group_of(order.size());
  std::vector<int64_t> first;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || less(order[i - 1], order[i])) first.push_back(order[i]);
    group_of[static_cast<size_t>(order[i])] = static_cast<int64_t>(first.size()) - 1;
  }
  std::vector<int64_t> rank(first.size());
  std::iota(rank.begin(), rank.end(), 0);
  if (!sorted)
    std::sort(rank.begin(), rank.end(),
              [&](int64_t a, int64_t b) { return first[static_cast<size_t>(a)] < first[static_cast<size_t>(b)]; });
  Groups groups;
  std::vector<int64_t> place(first.size());
  for (size_t g = 0; g < rank.size(); ++g) {
    place[static_cast<size_t>(rank[g])] = static_cast<int64_t>(g);
    groups.first.push_back(first[static_cast<size_t>(rank[g])]);
  }
  groups.counts.assign(first.size(), 0);
  for (int64_t g : group_of) {
    groups.where.push_back(place[static_cast<size_t>(g)]);
    ++groups.counts[static_cast<size_t>(groups.where.back())];
  }
  return groups;
}

template <class T, class Read>
Groups group_slices(const Slices& slices, bool sorted, const T* data, Read&& read) {
  return group(slices.count, sorted, [&](int64_t a, int64_t b) {
    for (int64_t o = 0; o < slices.outer; ++o) {
      const T* x = data + slices.at(a, o);
      const T* y = data + slices.at(b, o);
      for (int64_t i = 0; i < slices.inner; ++i)
        if (int c = compare(read(x[i]), read(y[i])); c != 0) return c < 0;
    }
    return false;
  });
}

Result<Groups> groups_of(const Tensor& data, const Slices& slices, bool sorted) {
  Groups groups;
  auto same = [&]<class T>(T) {
    groups = group_slices(slices, sorted, data.view().as<T>().data(), [](T v) { return v; });
  };
  if (for_number_type(data.dtype(), same)) return groups;
  auto half = [&](auto read) { groups = group_slices(slices, sorted, data.view().as<uint16_t>().data(), read); };
  switch (data.dtype()) {
    case DType::kBool: same(bool{}); break;
    case DType::kString: same(std::string_view{}); break;
    case DType::kF16: half([](uint16_t v) { return f16_to_float(v); }); break;
    default: half([](uint16_t v) { return bf16_to_float(v); }); break;
  }
  return groups;
}

}  // namespace

Result<std::vector<Tensor>> unique(const graph::Node& node, ChosenInputs inputs) {
  const Tensor& data = *inputs[0];
  Shape shape = data.shape();
  size_t axis = 0;
  if (node.find("axis") == nullptr) {
    shape = {elements(shape)};
  } else {
    MOTET_ASSIGN(axis, normalise_axis(node.int_or("axis", 0), shape.size()));
  }
  const Slices slices{shape[axis], product(shape, 0, axis), product(shape, axis + 1, shape.size())};
  MOTET_ASSIGN(const Groups groups, groups_of(data, slices, node.int_or("sorted", 1) != 0));
  shape[axis] = static_cast<int64_t>(groups.first.size());
  Tensor values = Tensor::zeros(data.dtype(), shape);
  const size_t row = static_cast<size_t>(slices.inner) * dtype_bytes(data.dtype());
  const size_t element = dtype_bytes(data.dtype());
  for (int64_t o = 0; row > 0 && o < slices.outer; ++o)
    for (size_t g = 0; g < groups.first.size(); ++g)
      std::memcpy(values.view().data + (static_cast<size_t>(o) * groups.first.size() + g) * row,
                  data.view().data + static_cast<size_t>(slices.at(groups.first[g], o)) * element, row);
  auto list = [](const std::vector<int64_t>& from) {
    return Tensor::of<int64_t>({static_cast<int64_t>(from.size())}, std::span<const int64_t>(from));
  };
  return std::vector<Tensor>{std::move(values), list(groups.first), list(groups.where), list(groups.counts)};
}

}  // namespace motet::ops
