#include "wire/front/grpc/typed_contents.h"

#include <limits>
#include <string>
#include <vector>

#include "wire/proto/grpc_service.pb.h"

namespace motet::grpc {
namespace {

using inference::InferTensorContents;

struct FieldCount {
  std::string_view name;
  int count;
};

// The fields that hold elements, in the order of their numbers.
std::vector<FieldCount> filled_fields(const InferTensorContents& c) {
  std::vector<FieldCount> filled;
  for (const FieldCount& field :
       {FieldCount{"bool_contents", c.bool_contents_size()}, FieldCount{"int_contents", c.int_contents_size()},
        FieldCount{"int64_contents", c.int64_contents_size()}, FieldCount{"uint_contents", c.uint_contents_size()},
        FieldCount{"uint64_contents", c.uint64_contents_size()}, FieldCount{"fp32_contents", c.fp32_contents_size()},
        FieldCount{"fp64_contents", c.fp64_contents_size()}, FieldCount{"bytes_contents", c.bytes_contents_size()}})
    if (field.count > 0) filled.push_back(field);
  return filled;
}

std::string_view field_of(DType dtype) {
  switch (dtype) {
    case DType::kBool: return "bool_contents";
    case DType::kI8:
    case DType::kI16:
    case DType::kI32: return "int_contents";
    case DType::kI64: return "int64_contents";
    case DType::kU8:
    case DType::kU16:
    case DType::kU32: return "uint_contents";
    case DType::kU64: return "uint64_contents";
    case DType::kF32: return "fp32_contents";
    case DType::kF64: return "fp64_contents";
    case DType::kString: return "bytes_contents";
    case DType::kF16:
    case DType::kBF16: break;  // no field holds them
  }
  return "";
}

// Elements of a field as T; an Error for the first that T cannot hold.
template <class T, class Field>
Result<Tensor> numbers(const Field& field, DType dtype, Shape shape, const std::string& whose) {
  Tensor tensor = Tensor::zeros(dtype, std::move(shape));
  std::span<T> out = tensor.view().as<T>();
  for (size_t i = 0; i < out.size(); ++i) {
    const auto value = field.Get(static_cast<int>(i));
    out[i] = static_cast<T>(value);
    if constexpr (std::is_integral_v<T>) {
      if (static_cast<decltype(value)>(out[i]) != value) {
        return invalid_argument("element " + std::to_string(i) + whose + " is " + std::to_string(value) +
                                "; accepted is " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                                std::to_string(std::numeric_limits<T>::max()));
      }
    }
  }
  return tensor;
}

struct StringBlock {
  std::vector<std::string_view> elements;
  std::shared_ptr<const void> characters;
};

Tensor strings(const InferTensorContents& contents, Shape shape, std::shared_ptr<const void> owner) {
  auto block = std::make_shared<StringBlock>();
  block->elements.assign(contents.bytes_contents().begin(), contents.bytes_contents().end());
  block->characters = std::move(owner);
  TensorView view{DType::kString, std::move(shape), reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

}  // namespace

bool has_contents(const InferTensorContents& contents) { return !filled_fields(contents).empty(); }

Result<Tensor> tensor_from_contents(const inference::ModelInferRequest_InferInputTensor& input, std::string_view model,
                                    DType dtype, std::shared_ptr<const void> owner) {
  const InferTensorContents& c = input.contents();
  const std::string whose = " for input '" + input.name() + "' for model '" + std::string(model) + "'";
  const std::string_view field = field_of(dtype);
  if (field.empty())
    return invalid_argument("data-type '" + input.datatype() + "'" + whose +
                            " has no field in contents; send it in raw_input_contents");
  Shape shape(input.shape().begin(), input.shape().end());
  auto expected = checked_elements(shape);
  if (!expected.ok()) return invalid_argument(expected.error().message + whose);
  int64_t got = 0;
  for (const FieldCount& filled : filled_fields(c)) {
    if (filled.name != field) {
      return invalid_argument("contents" + whose + " has " + std::string(filled.name) + "; accepted for '" +
                              input.datatype() + "' is " + std::string(field));
    }
    got = filled.count;
  }
  if (got != *expected)
    return invalid_argument("unexpected explicit tensor data size" + whose + ". Expected " + std::to_string(*expected) +
                            " elements, got " + std::to_string(got));
  switch (dtype) {
    case DType::kBool: return numbers<bool>(c.bool_contents(), dtype, std::move(shape), whose);
    case DType::kI8: return numbers<int8_t>(c.int_contents(), dtype, std::move(shape), whose);
    case DType::kI16: return numbers<int16_t>(c.int_contents(), dtype, std::move(shape), whose);
    case DType::kI32: return numbers<int32_t>(c.int_contents(), dtype, std::move(shape), whose);
    case DType::kI64: return numbers<int64_t>(c.int64_contents(), dtype, std::move(shape), whose);
    case DType::kU8: return numbers<uint8_t>(c.uint_contents(), dtype, std::move(shape), whose);
    case DType::kU16: return numbers<uint16_t>(c.uint_contents(), dtype, std::move(shape), whose);
    case DType::kU32: return numbers<uint32_t>(c.uint_contents(), dtype, std::move(shape), whose);
    case DType::kU64: return numbers<uint64_t>(c.uint64_contents(), dtype, std::move(shape), whose);
    case DType::kF32: return numbers<float>(c.fp32_contents(), dtype, std::move(shape), whose);
    case DType::kF64: return numbers<double>(c.fp64_contents(), dtype, std::move(shape), whose);
    default: return strings(c, std::move(shape), std::move(owner));
  }
}

}  // namespace motet::grpc
