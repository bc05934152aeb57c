// The `data` of a JSON tensor as a Tensor. Internal to this room. Pure; any thread.
#pragma once

#include <string_view>

#include "base/tensor/tensor.h"
#include "wire/front/http/json_read.h"

namespace motet::http {

// Flat or nested to any depth up to 64, row-major, as many values as `shape` has elements. Numbers out of the type's
// range, fractions for integers, and FP16 and BF16 (which JSON does not carry) are refused by name. `text_bytes` bounds
// the memory that a shape may claim.
Result<Tensor> read_json_tensor(ondemand::array data, std::string_view name, DType dtype, const Shape& shape,
                                size_t text_bytes);

}  // namespace motet::http
