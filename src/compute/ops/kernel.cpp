#include "compute/ops/kernel.h"

namespace motet::ops {

size_t TensorSpec::bytes() const {
  int64_t count = elements(shape);
  const int64_t block = layout == Layout::kNChw8c ? 8 : layout == Layout::kNChw16c ? 16 : 1;
  if (block > 1) {
    MOTET_CHECK(shape.size() == 4, "a blocked layout has four extents");
    count = elements(Shape{shape[0], (shape[1] + block - 1) / block * block, shape[2], shape[3]});
  }
  return static_cast<size_t>(count) * dtype_bytes(dtype);
}

}  // namespace motet::ops
