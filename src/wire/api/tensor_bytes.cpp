#include "wire/api/tensor_bytes.h"

#include <string>

#include "base/tensor/named.h"

namespace motet::api {

Result<Tensor> tensor_from_bytes(std::string_view input, std::string_view model, DType dtype, Shape shape,
                                 std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  const std::string whose = " for input '" + std::string(input) + "' for model '" + std::string(model) + "'";
  auto count = checked_elements(shape);
  if (!count.ok()) return invalid_argument(count.error().message + whose);
  if (dtype == DType::kString) {
    auto strings = parse_string_tensor(bytes, std::move(shape), std::move(owner));
    if (!strings.ok()) return invalid_argument(strings.error().message + whose);
    return strings;
  }
  const auto expected = checked_multiply(*count, static_cast<int64_t>(dtype_bytes(dtype)));
  if (!expected || static_cast<uint64_t>(*expected) != bytes.size()) {
    return invalid_argument("input byte size mismatch" + whose + ". Expected " +
                            (expected ? std::to_string(*expected) : "more than can be") + ", got " +
                            std::to_string(bytes.size()));
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % dtype_bytes(dtype) != 0) {
    Tensor copy = Tensor::zeros(dtype, std::move(shape));
    std::memcpy(copy.view().data, bytes.data(), bytes.size());
    return copy;
  }
  // Tensors of requests are read only; the view's pointer is writable for the sake of those that are not.
  return Tensor({dtype, std::move(shape), const_cast<std::byte*>(bytes.data())}, std::move(owner));
}

}  // namespace motet::api
