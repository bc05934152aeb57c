#include "body/load/payload.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace motet::load {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 28;
constexpr uint64_t kIntegers = 8;
constexpr size_t kWordLength = 8;

Result<Shape> choose_shape(const client::TensorMetadata& input, const PayloadOptions& options) {
  auto given = options.shapes.find(input.name);
  if (given != options.shapes.end()) {
    bool fits = given->second.size() == input.shape.size();
    for (size_t i = 0; fits && i < input.shape.size(); ++i)
      fits = given->second[i] >= 0 && (input.shape[i] < 0 || input.shape[i] == given->second[i]);
    if (fits) return given->second;
    return invalid_argument("shape " + shape_to_string(given->second) + " does not fit input '" + input.name +
                            "', which takes " + shape_to_string(input.shape));
  }
  Shape shape = input.shape;
  bool batched = options.has_batch_extent && !shape.empty() && shape[0] < 0;
  if (batched) shape[0] = options.batch;
  if (!batched && options.batch != 1) {
    return invalid_argument("input '" + input.name + "' takes " + shape_to_string(input.shape) +
                            " and has no batch extent: the batch must be 1, not " + std::to_string(options.batch));
  }
  for (int64_t& extent : shape) extent = extent < 0 ? 1 : extent;
  return shape;
}

template <class T>
void fill(const TensorView& view, Random& random) {
  for (T& value : view.as<T>()) value = static_cast<T>(random.below(kIntegers));
}

template <class T>
void fill_uniform(const TensorView& view, Random& random) {
  for (T& value : view.as<T>()) value = static_cast<T>(random.uniform());
}

Tensor random_words(const Shape& shape, Random& random) {
  struct Block {
    std::string characters;
    std::vector<std::string_view> words;
  };
  auto block = std::make_shared<Block>();
  auto count = static_cast<size_t>(elements(shape));
  for (size_t i = 0; i < count * kWordLength; ++i) block->characters += static_cast<char>('a' + random.below(26));
  for (size_t i = 0; i < count; ++i)
    block->words.push_back(std::string_view(block->characters).substr(i * kWordLength, kWordLength));
  return Tensor(TensorView{DType::kString, shape, reinterpret_cast<std::byte*>(block->words.data())}, block);
}

Tensor random_tensor(DType dtype, const Shape& shape, Random& random) {
  if (dtype == DType::kString) return random_words(shape, random);
  Tensor tensor = Tensor::zeros(dtype, shape);
  const TensorView& view = tensor.view();
  switch (dtype) {
    case DType::kBool:
      for (bool& value : view.as<bool>()) value = random.chance(0.5);
      break;
    case DType::kU8: fill<uint8_t>(view, random); break;
    case DType::kU16: fill<uint16_t>(view, random); break;
    case DType::kU32: fill<uint32_t>(view, random); break;
    case DType::kU64: fill<uint64_t>(view, random); break;
    case DType::kI8: fill<int8_t>(view, random); break;
    case DType::kI16: fill<int16_t>(view, random); break;
    case DType::kI32: fill<int32_t>(view, random); break;
    case DType::kI64: fill<int64_t>(view, random); break;
    case DType::kF32: fill_uniform<float>(view, random); break;
    case DType::kF64: fill_uniform<double>(view, random); break;
    case DType::kF16:
      for (uint16_t& value : view.as<uint16_t>()) value = float_to_f16(static_cast<float>(random.uniform()));
      break;
    case DType::kBF16:
      for (uint16_t& value : view.as<uint16_t>()) value = float_to_bf16(static_cast<float>(random.uniform()));
      break;
    case DType::kString: break;
  }
  return tensor;
}

}  // namespace

Result<client::Request> random_request(const client::ModelMetadata& model, const PayloadOptions& options) {
  if (options.batch < 1) return invalid_argument("a batch has at least 1 row, not " + std::to_string(options.batch));
  for (const auto& [name, shape] : options.shapes) {
    bool known = std::any_of(model.inputs.begin(), model.inputs.end(),
                             [&name = name](const client::TensorMetadata& input) { return input.name == name; });
    if (!known) return invalid_argument("model '" + model.name + "' has no input '" + name + "'");
  }
  client::Request request;
  request.model = model.name;
  Random random(options.seed, "payload/" + model.name);
  for (const client::TensorMetadata& input : model.inputs) {
    MOTET_ASSIGN(Shape shape, choose_shape(input, options));
    MOTET_ASSIGN(int64_t count, checked_elements(shape));
    if (count > kMaxElements)
      return invalid_argument("input '" + input.name + "' of shape " + shape_to_string(shape) + " has more than " +
                              std::to_string(kMaxElements) + " elements");
    request.inputs.push_back({input.name, random_tensor(input.dtype, shape, random)});
  }
  return request;
}

}  // namespace motet::load
