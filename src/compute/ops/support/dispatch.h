// From a DType to a C++ type: calls f with a value of the type, for loops that are written once for all of them.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/tensor/dtype.h"

namespace motet::ops {

// f(T{}) for the number types but f16 and bf16, and returns true; false without a call for the others.
template <class F>
bool for_number_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kU8: f(uint8_t{}); return true;
    case DType::kU16: f(uint16_t{}); return true;
    case DType::kU32: f(uint32_t{}); return true;
    case DType::kU64: f(uint64_t{}); return true;
    case DType::kI8: f(int8_t{}); return true;
    case DType::kI16: f(int16_t{}); return true;
    case DType::kI32: f(int32_t{}); return true;
    case DType::kI64: f(int64_t{}); return true;
    case DType::kF32: f(float{}); return true;
    case DType::kF64: f(double{}); return true;
    default: return false;
  }
}

// The same for the integer types.
template <class F>
bool for_integer_type(DType dtype, F&& f) {
  if (dtype == DType::kF32 || dtype == DType::kF64) return false;
  return for_number_type(dtype, [&]<class T>(T v) {
    if constexpr (!std::is_floating_point_v<T>) f(v);
  });
}

// f(T{}) for float and double.
template <class F>
bool for_float_type(DType dtype, F&& f) {
  if (dtype == DType::kF32) {
    f(float{});
    return true;
  }
  if (dtype == DType::kF64) {
    f(double{});
    return true;
  }
  return false;
}

// An element of `bytes` bytes, for moves that do not look at it.
struct Wide {
  uint64_t low, high;
};
template <class F>
void for_element_size(size_t bytes, F&& f) {
  switch (bytes) {
    case 1: f(uint8_t{}); return;
    case 2: f(uint16_t{}); return;
    case 4: f(uint32_t{}); return;
    case 8: f(uint64_t{}); return;
    default: f(Wide{}); return;
  }
}

// Arithmetic of narrow and signed integers wraps around, as numpy's does.
template <class T>
auto wrap(T v) {
  if constexpr (std::is_floating_point_v<T>) {
    return v;
  } else {
    return static_cast<uint64_t>(v);
  }
}

}  // namespace motet::ops
