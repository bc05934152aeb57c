// A number as another type, with a defined result for every value.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace motet::ops {

// Floats outside an integer's range have no defined result in ONNX; here they go to the nearest value, NaN to 0.
template <class To, class From>
To converted(From v) {
  if constexpr (std::is_same_v<To, bool>) {
    return v != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    constexpr auto kLow = static_cast<From>(std::numeric_limits<To>::lowest());
    // The first value past the top is a power of two, exact in any float.
    constexpr auto kPast =
        static_cast<From>(2) * static_cast<From>(uint64_t{1} << (std::numeric_limits<To>::digits - 1));
    if (v != v) return 0;
    if (v < kLow) return std::numeric_limits<To>::lowest();
    if (v >= kPast) return std::numeric_limits<To>::max();
    return static_cast<To>(v);
  } else {
    return static_cast<To>(v);
  }
}

}  // namespace motet::ops
