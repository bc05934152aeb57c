// Copies through a table per axis: element (i, j, ...) of the result is element (map_0[i], map_1[j], ...) of the
// source. Padding by reflection and resizing to the nearest element come down to this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/tensor/shape.h"
#include "compute/device/team.h"

namespace motet::ops {

class MappedCopy {
 public:
  // REQUIRES: one map an axis of `source`, each entry in [0, extent).
  MappedCopy(const Shape& source, std::vector<std::vector<int64_t>> maps, size_t element_bytes);
  void run(const std::byte* src, std::byte* dst, device::Team& team) const;

 private:
  std::vector<std::vector<int64_t>> maps_;
  Shape strides_;  // of the source, in elements
  size_t element_bytes_;
  int64_t rows_ = 1;
  // The longest stretch of the innermost map that is consecutive: copied as a block.
  int64_t run_begin_ = 0, run_end_ = 0;
};

}  // namespace motet::ops
