// A request's tensor from the bytes that were received for it: shared by the front ends, so that both check alike. Any
// thread may call.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "base/tensor/tensor.h"

namespace motet::api {

// A tensor over `bytes`, kept alive by `owner`; a copy where the bytes are not aligned to the element. BYTES elements
// are read from their serialised form. An Error names `input` and `model`, the size expected and the size got.
Result<Tensor> tensor_from_bytes(std::string_view input, std::string_view model, DType dtype, Shape shape,
                                 std::span<const std::byte> bytes, std::shared_ptr<const void> owner);

}  // namespace motet::api
