// Shape: the extents of a tensor, outermost first. An extent of -1 means "any" and occurs only in signatures; tensors with
// data have extents >= 0. Plain value. Sizes are computed with checked arithmetic: a shape from a stranger cannot overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace motet {

using Shape = std::vector<int64_t>;

// a*b and a+b, or nothing on overflow of int64.
std::optional<int64_t> checked_multiply(int64_t a, int64_t b);
std::optional<int64_t> checked_add(int64_t a, int64_t b);

// Product of the extents (1 for a scalar); an Error naming the shape if an extent is negative or the product overflows.
Result<int64_t> checked_elements(std::span<const int64_t> shape);
// The same for a shape known to be sound. Aborts otherwise.
int64_t elements(std::span<const int64_t> shape);
// "[1,3,224,224]"
std::string shape_to_string(std::span<const int64_t> shape);

}  // namespace motet
