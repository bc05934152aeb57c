#include "wire/client/tensors.h"

#include "base/tensor/named.h"

namespace motet::client {

Result<Tensor> tensor_over(const std::string& output, DType dtype, Shape shape, std::span<const std::byte> bytes,
                           std::shared_ptr<const void> owner) {
  MOTET_ASSIGN(int64_t count, checked_elements(shape));
  if (dtype == DType::kString) return parse_string_tensor(bytes, std::move(shape), std::move(owner));
  const auto expected = checked_multiply(count, static_cast<int64_t>(dtype_bytes(dtype)));
  if (!expected || static_cast<uint64_t>(*expected) != bytes.size()) {
    return invalid_argument("output '" + output + "' has shape " + shape_to_string(shape) + " of " +
                            std::string(dtype_kserve_name(dtype)) + " and " + std::to_string(bytes.size()) +
                            " bytes, which do not agree");
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(dtype) != 0) {
    Tensor copy = Tensor::zeros(dtype, std::move(shape));
    std::memcpy(copy.view().data, bytes.data(), bytes.size());
    return copy;
  }
  return Tensor({dtype, std::move(shape), const_cast<std::byte*>(bytes.data())}, std::move(owner));
}

}  // namespace motet::client
