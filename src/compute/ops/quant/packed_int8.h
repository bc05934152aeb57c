// A constant right-hand side of a product as int8 in panels (vector/int8.h), with a scale a column and what each
// column's numbers sum to. Quantised when it is packed: symmetric, so that a column's largest magnitude is 127. One
// copy serves every program of a model, and is kept on disk, as all packed weights are.
#pragma once

#include "compute/ops/kernel.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::ops {

class PackedInt8 {
 public:
  // Of a constant f32 matrix [depth, columns] (or turned, [columns, depth]).
  static PackedInt8 quantised(WeightCache* cache, const Tensor& weights, bool turned);
  // Of one of i8 or u8 [depth, columns], which is (number - zero) * scale, with one of each or one a column. An Error
  // if a number less its zero point does not fit i8.
  static Result<PackedInt8> given(WeightCache* cache, const Tensor& weights, std::span<const float> scales,
                                  std::span<const int32_t> zeros);

  int64_t depth() const { return depth_; }
  int64_t columns() const { return columns_; }
  int64_t panels() const;
  size_t bytes() const { return packed_->bytes(); }
  void prepare() const { packed_->prepare(); }
  // Of all columns, padded with zeros to whole panels.
  const float* scales() const;
  const int32_t* sums() const;
  const int8_t* numbers() const;

 private:
  PackedInt8(int64_t depth, int64_t columns) : depth_(depth), columns_(columns) {}
  size_t size() const;

  int64_t depth_, columns_;
  WeightCache::Packed packed_;  // scales, sums, panels
};

}  // namespace motet::ops
