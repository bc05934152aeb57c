#include "base/tensor/tensor.h"

#include <cstdlib>

namespace motet {

Tensor Tensor::zeros(DType dtype, Shape shape) {
  TensorView view{dtype, std::move(shape), nullptr};
  size_t bytes = (view.bytes() + 63) / 64 * 64;
  if (bytes == 0) bytes = 64;
  void* block = std::aligned_alloc(64, bytes);
  MOTET_CHECK(block != nullptr, "out of memory");
  std::memset(block, 0, bytes);
  view.data = static_cast<std::byte*>(block);
  return Tensor(std::move(view), std::shared_ptr<const void>(block, [](const void* p) { std::free(const_cast<void*>(p)); }));
}

}  // namespace motet
