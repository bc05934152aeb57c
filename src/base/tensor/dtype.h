// DType: the element types of tensors. Names and sizes follow KServe v2 ("FP32") and ONNX (TensorProto.DataType).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace motet {

enum class DType : uint8_t {
  kBool, kU8, kU16, kU32, kU64, kI8, kI16, kI32, kI64, kF16, kBF16, kF32, kF64,
  kString,  // an element is a std::string_view (16 bytes) whose characters belong to someone else
};

// Bytes of one element in memory: 1, 2, 4, 8, or 16 for kString.
size_t dtype_bytes(DType dtype);
// "FP32", "INT64", "BYTES": KServe v2's spelling.
std::string_view dtype_kserve_name(DType dtype);
std::optional<DType> dtype_from_kserve(std::string_view name);
// ONNX TensorProto.DataType number, and back; nothing for types we do not hold (complex, float8, int4).
int dtype_to_onnx(DType dtype);
std::optional<DType> dtype_from_onnx(int onnx);

template <class T> struct DTypeOf;
template <> struct DTypeOf<bool> { static constexpr DType value = DType::kBool; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::kU8; };
template <> struct DTypeOf<uint16_t> { static constexpr DType value = DType::kU16; };
template <> struct DTypeOf<uint32_t> { static constexpr DType value = DType::kU32; };
template <> struct DTypeOf<uint64_t> { static constexpr DType value = DType::kU64; };
template <> struct DTypeOf<int8_t> { static constexpr DType value = DType::kI8; };
template <> struct DTypeOf<int16_t> { static constexpr DType value = DType::kI16; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::kI32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::kI64; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::kF32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::kF64; };
template <> struct DTypeOf<std::string_view> { static constexpr DType value = DType::kString; };

// IEEE half and bfloat16 as bit patterns; round to nearest even.
float f16_to_float(uint16_t bits);
uint16_t float_to_f16(float value);
float bf16_to_float(uint16_t bits);
uint16_t float_to_bf16(float value);

}  // namespace motet
