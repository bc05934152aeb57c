#include "compute/prep/prepare.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "compute/prep/inputs.h"
#include "compute/prep/npz.h"

namespace motet::prep {

namespace {

template <class T>
void store(const Tensor& tensor, std::span<const float> values) {
  std::span<T> to = tensor.view().as<T>();
  for (size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_integral_v<T>) {
      double low = static_cast<double>(std::numeric_limits<T>::lowest());
      double high = static_cast<double>(std::numeric_limits<T>::max());
      double value = std::nearbyint(static_cast<double>(values[i]));
      to[i] = value <= low    ? std::numeric_limits<T>::lowest()
              : value >= high ? std::numeric_limits<T>::max()
                              : static_cast<T>(value);
    } else {
      to[i] = static_cast<T>(values[i]);
    }
  }
}

// Rows of whole numbers or decimals, one value an input, separated by white space or commas.
template <class T>
bool store_text(std::string_view word, const Tensor& tensor, size_t row) {
  T value{};
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return false;
  tensor.view().as<T>()[row] = value;
  return true;
}

bool store_number(std::string_view word, const Tensor& tensor, size_t row) {
  switch (tensor.dtype()) {
    case DType::kI8: return store_text<int8_t>(word, tensor, row);
    case DType::kI16: return store_text<int16_t>(word, tensor, row);
    case DType::kI32: return store_text<int32_t>(word, tensor, row);
    case DType::kI64: return store_text<int64_t>(word, tensor, row);
    case DType::kU8: return store_text<uint8_t>(word, tensor, row);
    case DType::kU16: return store_text<uint16_t>(word, tensor, row);
    case DType::kU32: return store_text<uint32_t>(word, tensor, row);
    case DType::kU64: return store_text<uint64_t>(word, tensor, row);
    case DType::kF32: return store_text<float>(word, tensor, row);
    case DType::kF64: return store_text<double>(word, tensor, row);
    default: return false;
  }
}

std::vector<std::vector<std::string_view>> split_rows(std::string_view text) {
  std::vector<std::vector<std::string_view>> rows;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::vector<std::string_view> words;
    for (size_t at = 0;;) {
      constexpr std::string_view kSpace = " \t\r,;";
      size_t begin = line.find_first_not_of(kSpace, at);
      if (begin == std::string_view::npos) break;
      at = std::min(line.find_first_of(kSpace, begin), line.size());
      words.push_back(line.substr(begin, at - begin));
    }
    if (!words.empty()) rows.push_back(std::move(words));
  }
  return rows;
}

}  // namespace

Result<const InputSpec*> find_input(std::span<const InputSpec> inputs, std::string_view name) {
  std::string known;
  for (const InputSpec& input : inputs) {
    if (input.name == name) return &input;
    known += (known.empty() ? "" : ", ") + input.name;
  }
  return not_found("the recipe names the input '" + std::string(name) + "'; the model has " + known);
}

Result<const InputSpec*> data_input(const Recipe& recipe, std::span<const InputSpec> inputs) {
  if (!recipe.tensor.empty()) return find_input(inputs, recipe.tensor);
  const InputSpec* found = nullptr;
  for (const InputSpec& input : inputs) {
    bool filled = input.name == recipe.audio.rate_tensor;
    for (const auto& [in, out] : recipe.audio.states) filled = filled || input.name == in;
    if (filled) continue;
    if (found != nullptr) {
      return invalid_argument("the model takes both '" + found->name + "' and '" + input.name +
                              "'; recipe.tensor must say which of them takes the data");
    }
    found = &input;
  }
  if (found == nullptr) return invalid_argument("the model has no input that takes the data");
  return found;
}

Result<Tensor> tensor_of(const InputSpec& spec, Shape shape, std::span<const float> values) {
  Tensor tensor = Tensor::zeros(spec.dtype, std::move(shape));
  switch (spec.dtype) {
    case DType::kF32: store<float>(tensor, values); break;
    case DType::kF64: store<double>(tensor, values); break;
    case DType::kU8: store<uint8_t>(tensor, values); break;
    case DType::kI8: store<int8_t>(tensor, values); break;
    case DType::kI32: store<int32_t>(tensor, values); break;
    case DType::kI64: store<int64_t>(tensor, values); break;
    case DType::kF16:
      for (size_t i = 0; i < values.size(); ++i) tensor.view().as<uint16_t>()[i] = float_to_f16(values[i]);
      break;
    case DType::kBF16:
      for (size_t i = 0; i < values.size(); ++i) tensor.view().as<uint16_t>()[i] = float_to_bf16(values[i]);
      break;
    default:
      return unsupported("input '" + spec.name + "' is " + std::string(dtype_kserve_name(spec.dtype)) +
                         "; recipes fill FP32, FP64, FP16, BF16, UINT8, INT8, INT32 and INT64");
  }
  return tensor;
}

Result<Prepared> prepare_bytes(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs) {
  MOTET_ASSIGN(const InputSpec* input, data_input(recipe, inputs));
  const BytesRecipe& r = recipe.bytes;
  std::string_view file(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size());
  if (file.size() < static_cast<size_t>(r.least)) {
    return invalid_argument(std::string(source.name) + " has " + std::to_string(file.size()) +
                            " bytes; this model needs at least " + std::to_string(r.least));
  }
  // As google/magika's features.py: a block of either end, stripped on its outer side.
  constexpr std::string_view kSpace("\t\n\v\f\r ", 6);
  auto block = std::min(static_cast<size_t>(r.block), file.size());
  std::string_view head = file.substr(0, block);
  std::string_view tail = file.substr(file.size() - block);
  if (r.strip) {
    head.remove_prefix(std::min(head.find_first_not_of(kSpace), head.size()));
    tail = tail.substr(0, tail.find_last_not_of(kSpace) + 1);
  }
  head = head.substr(0, static_cast<size_t>(r.begin));
  tail = tail.substr(tail.size() - std::min(tail.size(), static_cast<size_t>(r.end)));
  std::vector<float> values(static_cast<size_t>(r.begin + r.end), static_cast<float>(r.padding));
  auto byte = [](char c) { return static_cast<float>(static_cast<unsigned char>(c)); };
  std::transform(head.begin(), head.end(), values.begin(), byte);
  std::transform(tail.begin(), tail.end(), values.end() - static_cast<std::ptrdiff_t>(tail.size()), byte);
  auto length = static_cast<int64_t>(values.size());
  if (input->shape.empty() || (input->shape.back() != -1 && input->shape.back() != length)) {
    return invalid_argument("recipe.begin + recipe.end is " + std::to_string(length) + "; input '" + input->name +
                            "' has the shape " + shape_to_string(input->shape));
  }
  Shape shape(input->shape.size(), 1);
  shape.back() = length;
  MOTET_ASSIGN(Tensor tensor, tensor_of(*input, shape, values));
  Prepared prepared;
  prepared.calls.push_back({{input->name, std::move(tensor)}});
  return prepared;
}

Result<Prepared> prepare_numbers(const Recipe& /*recipe*/, const Source& source, std::span<const InputSpec> inputs) {
  auto rows = split_rows({reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size()});
  std::string expected = "rows of " + std::to_string(inputs.size()) + " numbers (";
  for (const InputSpec& input : inputs) expected += (expected.back() == '(' ? "" : " ") + input.name;
  expected += ")";
  if (rows.empty()) return invalid_argument(std::string(source.name) + " holds no numbers; expected are " + expected);
  Prepared prepared;
  std::vector<NamedTensor>& call = prepared.calls.emplace_back();
  auto count = static_cast<int64_t>(rows.size());
  for (const InputSpec& input : inputs) {
    Shape shape = input.shape.empty() ? Shape{count} : input.shape;
    if (shape[0] != -1 && shape[0] != count) {
      return invalid_argument(std::string(source.name) + " has " + std::to_string(count) + " rows; input '" +
                              input.name + "' takes " + std::to_string(shape[0]));
    }
    shape[0] = count;
    for (size_t d = 1; d < shape.size(); ++d) {
      if (shape[d] != 1 && shape[d] != -1) {
        return invalid_argument("recipe.input numbers gives one number a row; input '" + input.name +
                                "' has the shape " + shape_to_string(input.shape));
      }
      shape[d] = 1;
    }
    call.push_back({input.name, Tensor::zeros(input.dtype, std::move(shape))});
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    if (rows[row].size() != inputs.size()) {
      return invalid_argument(std::string(source.name) + ", row " + std::to_string(row + 1) + " has " +
                              std::to_string(rows[row].size()) + " values; expected are " + expected);
    }
    for (size_t column = 0; column < inputs.size(); ++column) {
      if (!store_number(rows[row][column], call[column].tensor, row)) {
        return invalid_argument(std::string(source.name) + ", row " + std::to_string(row + 1) + ": '" +
                                std::string(rows[row][column].substr(0, 40)) + "' is no " +
                                std::string(dtype_kserve_name(inputs[column].dtype)) + " for '" + inputs[column].name +
                                "'");
      }
    }
  }
  return prepared;
}

Result<Prepared> prepare_tensors(const Recipe& /*recipe*/, const Source& source, std::span<const InputSpec> inputs) {
  MOTET_ASSIGN(std::vector<NamedTensor> tensors, parse_npz(source.bytes, source.name));
  for (const InputSpec& input : inputs) {
    auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == input.name; });
    if (found == tensors.end())
      return invalid_argument(std::string(source.name) + " has no array '" + input.name + "'");
  }
  Prepared prepared;
  prepared.calls.push_back(std::move(tensors));
  return prepared;
}

Result<Prepared> prepare(const Recipe& recipe, std::string_view name, std::span<const std::byte> bytes,
                         std::span<const InputSpec> inputs) {
  if (inputs.empty()) return invalid_argument("the model has no inputs");
  Source source{name, bytes};
  switch (recipe.input) {
    case InputKind::kTensors: return prepare_tensors(recipe, source, inputs);
    case InputKind::kImage: return prepare_image(recipe, source, inputs);
    case InputKind::kAudio: return prepare_audio(recipe, source, inputs);
    case InputKind::kBytes: return prepare_bytes(recipe, source, inputs);
    case InputKind::kNumbers: return prepare_numbers(recipe, source, inputs);
  }
  return internal_error("a kind of input without preparation");
}

Status carry_state(const Prepared& prepared, std::span<const NamedTensor> outputs, std::vector<NamedTensor>& next) {
  for (const auto& [input, output] : prepared.states) {
    auto found = std::find_if(outputs.begin(), outputs.end(), [&](const NamedTensor& t) { return t.name == output; });
    if (found == outputs.end())
      return not_found("the model's answer lacks the state '" + output + "' that recipe.state names");
    next.push_back({input, found->tensor});
  }
  return {};
}

}  // namespace motet::prep
