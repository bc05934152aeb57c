// Tensors of an answer over the bytes that came for them. Any thread may call.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/tensor/tensor.h"

namespace motet::client {

// A tensor over `bytes`, kept alive by `owner`; a copy where they are not aligned to the element. An Error names
// `output` and the size that its shape wants.
Result<Tensor> tensor_over(const std::string& output, DType dtype, Shape shape, std::span<const std::byte> bytes,
                           std::shared_ptr<const void> owner);

}  // namespace motet::client
