#include "compute/engine/dynamic/growth.h"

#include <cstdlib>
#include <cstring>

namespace motet::engine {

Status Growth::take(Charge& charge, int64_t bytes) {
  int64_t used = charge.used.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (used > charge.limit) {
    charge.used.fetch_sub(bytes, std::memory_order_relaxed);
    return resource_exhausted(std::to_string(bytes) + " bytes more than the " + std::to_string(used - bytes) +
                              " in use exceed the " + std::to_string(charge.limit) +
                              " that a run may take for values whose size depends on data");
  }
  int64_t peak = charge.peak.load(std::memory_order_relaxed);
  while (used > peak && !charge.peak.compare_exchange_weak(peak, used, std::memory_order_relaxed)) {
  }
  return {};
}

Result<Tensor> Growth::make(DType dtype, const Shape& shape) {
  MOTET_ASSIGN(int64_t count, checked_elements(shape));
  auto bytes = checked_multiply(count, static_cast<int64_t>(dtype_bytes(dtype)));
  auto rounded = bytes ? checked_add(*bytes, 63) : std::nullopt;
  if (!rounded) return resource_exhausted("a value of " + shape_to_string(shape) + " is beyond any memory");
  const int64_t size = std::max<int64_t>(*rounded / 64 * 64, 64);
  MOTET_RETURN_IF_ERROR(take(*charge_, size));
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(size)));
  if (memory == nullptr) {
    charge_->used.fetch_sub(size, std::memory_order_relaxed);
    return resource_exhausted("no memory for a value of " + std::to_string(size) + " bytes");
  }
  if (dtype == DType::kString) std::memset(memory, 0, static_cast<size_t>(size));
  std::shared_ptr<std::byte> owner(memory, [charge = charge_, size](std::byte* p) {
    std::free(p);
    charge->used.fetch_sub(size, std::memory_order_relaxed);
  });
  return Tensor({dtype, shape, memory}, std::move(owner));
}

Result<Tensor> Growth::adopt(const Tensor& tensor) {
  const auto size = static_cast<int64_t>(tensor.view().bytes());
  MOTET_RETURN_IF_ERROR(take(*charge_, size));
  std::shared_ptr<const Tensor> owner(new Tensor(tensor), [charge = charge_, size](const Tensor* p) {
    delete p;
    charge->used.fetch_sub(size, std::memory_order_relaxed);
  });
  return Tensor(tensor.view(), std::move(owner));
}

}  // namespace motet::engine
