#include "compute/ops/support/strided.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "compute/ops/support/dispatch.h"

namespace motet::ops {
namespace {

constexpr int64_t kBytesPerPart = 65536;
constexpr int64_t kTile = 16;

template <class T>
void copy_elements(const std::byte* src, int64_t src_step, std::byte* dst, int64_t dst_step, int64_t n) {
  if (src_step == 0 && dst_step == static_cast<int64_t>(sizeof(T))) {
    const T value = *reinterpret_cast<const T*>(src);
    std::fill_n(reinterpret_cast<T*>(dst), n, value);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    *reinterpret_cast<T*>(dst + i * dst_step) = *reinterpret_cast<const T*>(src + i * src_step);
  }
}

}  // namespace

StridedCopy::StridedCopy(const Shape& extents, const Shape& src_strides, const Shape& dst_strides, size_t element_bytes)
    : element_bytes_(element_bytes) {
  const auto size = static_cast<int64_t>(element_bytes);
  std::vector<Axis> axes;
  for (size_t d = 0; d < extents.size(); ++d) {
    if (extents[d] == 1) continue;
    Axis axis{extents[d], src_strides[d] * size, dst_strides[d] * size};
    if (axis.extent == 0) rows_ = 0;
    // The axis before this one continues it in both arrays: one longer axis.
    if (!axes.empty() && axes.back().src == axis.src * axis.extent && axes.back().dst == axis.dst * axis.extent) {
      axis.extent *= axes.back().extent;
      axes.back() = axis;
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, size, size});
  inner_ = axes.back();
  axes.pop_back();
  outer_ = std::move(axes);
  for (const Axis& axis : outer_) rows_ *= axis.extent;
}

void StridedCopy::row(const std::byte* src, std::byte* dst, int64_t begin, int64_t end) const {
  const auto size = static_cast<int64_t>(element_bytes_);
  src += begin * inner_.src;
  dst += begin * inner_.dst;
  if (inner_.src == size && inner_.dst == size) {
    std::memcpy(dst, src, static_cast<size_t>((end - begin) * size));
    return;
  }
  for_element_size(element_bytes_,
                   [&]<class T>(T) { copy_elements<T>(src, inner_.src, dst, inner_.dst, end - begin); });
}

void StridedCopy::run_rows(const std::byte* src, std::byte* dst, int64_t begin, int64_t end) const {
  const size_t rank = outer_.size();
  std::vector<int64_t> index(rank);
  int64_t src_at = 0, dst_at = 0, rest = begin;
  for (size_t d = rank; d-- > 0;) {
    index[d] = rest % outer_[d].extent;
    rest /= outer_[d].extent;
    src_at += index[d] * outer_[d].src;
    dst_at += index[d] * outer_[d].dst;
  }
  for (int64_t r = begin; r < end; ++r) {
    row(src + src_at, dst + dst_at, 0, inner_.extent);
    for (size_t d = rank; d-- > 0;) {
      src_at += outer_[d].src;
      dst_at += outer_[d].dst;
      if (++index[d] < outer_[d].extent) break;
      src_at -= outer_[d].extent * outer_[d].src;
      dst_at -= outer_[d].extent * outer_[d].dst;
      index[d] = 0;
    }
  }
}

// The last two merged axes are a matrix whose rows are contiguous in src across and in dst down: copied in square
// tiles, so that both sides use whole cache lines.
void StridedCopy::transpose_tiles(const std::byte* src, std::byte* dst, device::Team& team) const {
  const Axis& down = outer_.back();
  const int64_t matrices = rows_ / down.extent;
  const int64_t bands = (inner_.extent + kTile - 1) / kTile;
  const int64_t band_bytes = std::max<int64_t>(1, down.extent * kTile * static_cast<int64_t>(element_bytes_));
  team.for_range(matrices * bands, std::max<int64_t>(1, kBytesPerPart / band_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      int64_t src_at = 0, dst_at = 0, rest = at / bands;
      for (size_t d = outer_.size() - 1; d-- > 0;) {
        src_at += rest % outer_[d].extent * outer_[d].src;
        dst_at += rest % outer_[d].extent * outer_[d].dst;
        rest /= outer_[d].extent;
      }
      const int64_t first = at % bands * kTile;
      const int64_t count = std::min(kTile, inner_.extent - first);
      const std::byte* from = src + src_at + first * inner_.src;
      std::byte* to = dst + dst_at + first * inner_.dst;
      for_element_size(element_bytes_, [&]<class T>(T) {
        for (int64_t i = 0; i < down.extent; ++i) {
          copy_elements<T>(from + i * down.src, inner_.src, to + i * down.dst, inner_.dst, count);
        }
      });
    }
  });
}

void StridedCopy::run(const std::byte* src, std::byte* dst, device::Team& team) const {
  if (rows_ == 0 || inner_.extent == 0) return;
  const auto size = static_cast<int64_t>(element_bytes_);
  if (!outer_.empty() && outer_.back().src == size && inner_.src != size && outer_.back().extent >= 4) {
    transpose_tiles(src, dst, team);
    return;
  }
  const int64_t row_bytes = inner_.extent * size;
  if (rows_ == 1) {
    team.for_range(inner_.extent, kBytesPerPart / size, [&](int64_t begin, int64_t end) { row(src, dst, begin, end); });
    return;
  }
  team.for_range(rows_, std::max<int64_t>(1, kBytesPerPart / row_bytes),
                 [&](int64_t begin, int64_t end) { run_rows(src, dst, begin, end); });
}

BroadcastPlan BroadcastPlan::make(const Shape& result, const std::vector<Shape>& operands) {
  BroadcastPlan plan;
  plan.strides.resize(operands.size());
  std::vector<Shape> full(operands.size(), Shape(result.size()));
  for (size_t o = 0; o < operands.size(); ++o) {
    const Shape& shape = operands[o];
    int64_t stride = 1;
    for (size_t back = 1; back <= shape.size(); ++back) {
      const int64_t extent = shape[shape.size() - back];
      full[o][result.size() - back] = extent == 1 ? 0 : stride;
      stride *= extent;
    }
  }
  for (size_t d = 0; d < result.size(); ++d) {
    plan.elements *= result[d];
    if (result[d] == 1) continue;
    bool merges = !plan.extents.empty();
    for (size_t o = 0; o < operands.size() && merges; ++o) merges = plan.strides[o].back() == full[o][d] * result[d];
    if (merges) {
      plan.extents.back() *= result[d];
    } else {
      plan.extents.push_back(result[d]);
    }
    for (size_t o = 0; o < operands.size(); ++o) {
      if (merges) {
        plan.strides[o].back() = full[o][d];
      } else {
        plan.strides[o].push_back(full[o][d]);
      }
    }
  }
  if (plan.extents.empty()) {
    plan.extents.push_back(1);
    for (Shape& strides : plan.strides) strides.push_back(0);
  }
  return plan;
}

}  // namespace motet::ops
