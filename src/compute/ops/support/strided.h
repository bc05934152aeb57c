// Copies and walks over strided arrays: what transposition, slicing, concatenation, broadcasting and padding come down
// to. Plan once, run many times. Pure values; run functions may be called from any thread on disjoint destinations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/tensor/shape.h"
#include "compute/device/team.h"

namespace motet::ops {

// dst[sum(i_d * dst_strides[d])] = src[sum(i_d * src_strides[d])] for all i; strides in elements, any sign, 0 in src to
// repeat. Bases point at the element of index 0.
class StridedCopy {
 public:
  StridedCopy(const Shape& extents, const Shape& src_strides, const Shape& dst_strides, size_t element_bytes);
  void run(const std::byte* src, std::byte* dst, device::Team& team) const;

 private:
  struct Axis {
    int64_t extent, src, dst;  // strides in bytes
  };
  void run_rows(const std::byte* src, std::byte* dst, int64_t begin, int64_t end) const;
  void row(const std::byte* src, std::byte* dst, int64_t begin, int64_t end) const;
  void transpose_tiles(const std::byte* src, std::byte* dst, device::Team& team) const;

  std::vector<Axis> outer_;  // outermost first, merged where memory allows
  Axis inner_{1, 0, 0};
  size_t element_bytes_;
  int64_t rows_ = 1;
};

// Operands that are read while one row-major result is written: extents merged as far as the strides of all operands
// allow. Walks the result in runs over the innermost axis.
struct BroadcastPlan {
  // REQUIRES: each of `operands` broadcasts to `result` (numpy's rule).
  static BroadcastPlan make(const Shape& result, const std::vector<Shape>& operands);

  Shape extents;               // merged, outermost first, at least one axis
  std::vector<Shape> strides;  // of each operand, in elements; 0 where it repeats
  int64_t elements = 1;

  int64_t inner_step(size_t operand) const { return strides[operand].back(); }

  // f(first result element, count, offsets of the operands' elements) for consecutive runs that make up [begin, end).
  template <class F>
  void for_runs(int64_t begin, int64_t end, F&& f) const;
};

template <class F>
void BroadcastPlan::for_runs(int64_t begin, int64_t end, F&& f) const {
  if (begin >= end) return;
  const size_t rank = extents.size();
  const size_t operands = strides.size();
  const int64_t inner = extents.back();
  Shape index(rank);
  for (int64_t d = static_cast<int64_t>(rank) - 1, rest = begin; d >= 0; --d) {
    index[static_cast<size_t>(d)] = rest % extents[static_cast<size_t>(d)];
    rest /= extents[static_cast<size_t>(d)];
  }
  std::vector<int64_t> offsets(operands);
  while (begin < end) {
    const int64_t left = inner - index[rank - 1];
    const int64_t count = left < end - begin ? left : end - begin;
    for (size_t o = 0; o < operands; ++o) {
      offsets[o] = 0;
      for (size_t d = 0; d < rank; ++d) offsets[o] += index[d] * strides[o][d];
    }
    f(begin, count, offsets.data());
    begin += count;
    index[rank - 1] = 0;
    for (size_t d = rank - 1; d-- > 0;) {
      if (++index[d] < extents[d]) break;
      index[d] = 0;
    }
  }
}

}  // namespace motet::ops
