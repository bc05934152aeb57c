// The element types of a model config and of tensors, one for the other. Any thread may call.
#pragma once

#include <optional>

#include "base/tensor/dtype.h"

namespace inference {
enum DataType : int;
}

namespace motet::api {

inference::DataType data_type_of(DType dtype);
// Nothing for TYPE_INVALID and for numbers outside the schema.
std::optional<DType> dtype_of(inference::DataType type);

}  // namespace motet::api
