#include "base/tensor/dtype.h"

#include <array>
#include <bit>

#include "base/check.h"

namespace motet {
namespace {

struct Row {
  DType dtype;
  size_t bytes;
  std::string_view kserve;
  int onnx;
};

constexpr std::array<Row, 14> kTable = {{
    {DType::kBool, 1, "BOOL", 9},   {DType::kU8, 1, "UINT8", 2},   {DType::kU16, 2, "UINT16", 4}, {DType::kU32, 4, "UINT32", 12},
    {DType::kU64, 8, "UINT64", 13}, {DType::kI8, 1, "INT8", 3},    {DType::kI16, 2, "INT16", 5},  {DType::kI32, 4, "INT32", 6},
    {DType::kI64, 8, "INT64", 7},   {DType::kF16, 2, "FP16", 10},  {DType::kBF16, 2, "BF16", 16}, {DType::kF32, 4, "FP32", 1},
    {DType::kF64, 8, "FP64", 11},   {DType::kString, 16, "BYTES", 8},
}};

const Row& row(DType dtype) {
  auto index = static_cast<size_t>(dtype);
  MOTET_CHECK(index < kTable.size(), "a DType outside its enumeration");
  return kTable[index];
}

}  // namespace

size_t dtype_bytes(DType dtype) { return row(dtype).bytes; }
std::string_view dtype_kserve_name(DType dtype) { return row(dtype).kserve; }
int dtype_to_onnx(DType dtype) { return row(dtype).onnx; }

std::optional<DType> dtype_from_kserve(std::string_view name) {
  for (const Row& r : kTable)
    if (r.kserve == name) return r.dtype;
  return std::nullopt;
}

std::optional<DType> dtype_from_onnx(int onnx) {
  for (const Row& r : kTable)
    if (r.onnx == onnx) return r.dtype;
  return std::nullopt;
}

float f16_to_float(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  uint32_t exponent = (bits >> 10) & 0x1Fu;
  uint32_t fraction = bits & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
  if (exponent == 0) {
    float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

uint16_t float_to_f16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u);                 // NaN
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);                // rounds past 65504
  if (magnitude < 0x38800000u) {                                                             // subnormal half
    float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;                                // exact: a power of two
    auto whole = static_cast<uint32_t>(scaled);
    float rest = scaled - static_cast<float>(whole);
    if (rest > 0.5f || (rest == 0.5f && (whole & 1u) != 0)) ++whole;
    return static_cast<uint16_t>(sign | whole);
  }
  uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t float_to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace motet
