// The classification extension: the k best classes of an output, as text. Any thread may call.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/tensor/tensor.h"

namespace motet::api {

// A kString tensor of "value:index" or "value:index:label" elements, best first, equal values by index, NaN last: of
// shape [rows, min(k, classes)] when `batched`, the first extent of `scores` being rows, else [min(k, classes)], where
// the rest of the shape is taken as one list of classes. Floats have six decimals. A class without a label, or with an
// empty one, has none. REQUIRES: k > 0; scores are not kString; rank >= 1 when batched.
Tensor classify(const TensorView& scores, int64_t k, bool batched, std::span<const std::string> labels);

}  // namespace motet::api
