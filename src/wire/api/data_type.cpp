#include "wire/api/data_type.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "wire/proto/model_config.pb.h"

namespace motet::api {
namespace {

constexpr auto kPairs = std::to_array<std::pair<DType, inference::DataType>>({
    {DType::kBool, inference::TYPE_BOOL},
    {DType::kU8, inference::TYPE_UINT8},
    {DType::kU16, inference::TYPE_UINT16},
    {DType::kU32, inference::TYPE_UINT32},
    {DType::kU64, inference::TYPE_UINT64},
    {DType::kI8, inference::TYPE_INT8},
    {DType::kI16, inference::TYPE_INT16},
    {DType::kI32, inference::TYPE_INT32},
    {DType::kI64, inference::TYPE_INT64},
    {DType::kF16, inference::TYPE_FP16},
    {DType::kBF16, inference::TYPE_BF16},
    {DType::kF32, inference::TYPE_FP32},
    {DType::kF64, inference::TYPE_FP64},
    {DType::kString, inference::TYPE_STRING},
});

}  // namespace

inference::DataType data_type_of(DType dtype) {
  for (const auto& [ours, theirs] : kPairs)
    if (ours == dtype) return theirs;
  MOTET_CHECK(false, "a DType outside its enumeration");
}

std::optional<DType> dtype_of(inference::DataType type) {
  for (const auto& [ours, theirs] : kPairs)
    if (theirs == type) return ours;
  return std::nullopt;
}

}  // namespace motet::api
