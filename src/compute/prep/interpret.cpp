#include "compute/prep/interpret.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compute/prep/outputs.h"

namespace motet::prep {

namespace {

template <class T>
void widen(const TensorView& view, std::vector<float>& to) {
  for (T value : view.as<T>()) to.push_back(static_cast<float>(value));
}

}  // namespace

Result<Numbers> read_output(std::span<const NamedTensor> outputs, std::string_view name) {
  if (outputs.empty()) return not_found("the model's answer has no outputs");
  const NamedTensor* found = name.empty() ? outputs.data() : nullptr;
  std::string known;
  for (const NamedTensor& output : outputs) {
    if (output.name == name) found = &output;
    known += (known.empty() ? "" : ", ") + output.name;
  }
  if (found == nullptr)
    return not_found("the recipe reads the output '" + std::string(name) + "'; the answer has " + known);
  const TensorView& view = found->tensor.view();
  Numbers numbers{found->name, view.shape, {}};
  numbers.values.reserve(static_cast<size_t>(view.elements()));
  switch (view.dtype) {
    case DType::kF32: widen<float>(view, numbers.values); break;
    case DType::kF64: widen<double>(view, numbers.values); break;
    case DType::kU8: widen<uint8_t>(view, numbers.values); break;
    case DType::kI8: widen<int8_t>(view, numbers.values); break;
    case DType::kI32: widen<int32_t>(view, numbers.values); break;
    case DType::kI64: widen<int64_t>(view, numbers.values); break;
    case DType::kF16:
      for (uint16_t bits : view.as<uint16_t>()) numbers.values.push_back(f16_to_float(bits));
      break;
    case DType::kBF16:
      for (uint16_t bits : view.as<uint16_t>()) numbers.values.push_back(bf16_to_float(bits));
      break;
    default:
      return unsupported("output '" + found->name + "' is " + std::string(dtype_kserve_name(view.dtype)) +
                         "; recipes read FP32, FP64, FP16, BF16, UINT8, INT8, INT32 and INT64");
  }
  return numbers;
}

Label make_label(const OutputRecipe& recipe, int index, double score) {
  auto i = static_cast<size_t>(index);
  return {index, i < recipe.labels.size() ? recipe.labels[i] : "class " + std::to_string(index), score};
}

Result<Findings> find_classes(const OutputRecipe& recipe, std::span<const NamedTensor> outputs) {
  MOTET_ASSIGN(Numbers out, read_output(outputs, recipe.scores_tensor));
  std::vector<float>& scores = out.values;
  if (scores.empty()) return invalid_argument("output '" + out.name + "' has no classes");
  if (!out.shape.empty() && static_cast<int64_t>(scores.size()) != out.shape.back()) {
    return invalid_argument("output '" + out.name + "' of shape " + shape_to_string(out.shape) +
                            " is not one row of classes");
  }
  for (float& score : scores) {
    if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  }
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  size_t kept = std::min(order.size(), static_cast<size_t>(recipe.top));
  auto better = [&](int a, int b) {
    float x = scores[static_cast<size_t>(a)];
    float y = scores[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(), better);
  double most = scores[static_cast<size_t>(order[0])];
  double sum = 0;
  for (float score : scores) sum += std::exp(score - most);
  Findings findings;
  for (size_t i = 0; i < kept; ++i) {
    double score = scores[static_cast<size_t>(order[i])];
    findings.labels.push_back(make_label(recipe, order[i], recipe.softmax ? std::exp(score - most) / sum : score));
  }
  return findings;
}

Result<Findings> interpret(const Recipe& recipe, const Context& context,
                           std::span<const std::vector<NamedTensor>> answers) {
  if (answers.empty()) return invalid_argument("there is no answer to interpret");
  std::span<const NamedTensor> last = answers.back();
  auto read = [&]() -> Result<Findings> {
    switch (recipe.output.kind) {
      case OutputKind::kClasses: return find_classes(recipe.output, last);
      case OutputKind::kSsdBoxes: return find_ssd_boxes(recipe.output, context, last);
      case OutputKind::kFastestDet: return find_fastestdet(recipe.output, context, last);
      case OutputKind::kSpeech: return find_speech(recipe.output, context, answers);
      case OutputKind::kImageYcbcr: return find_picture(context, last);
      case OutputKind::kScore: {
        MOTET_ASSIGN(Numbers out, read_output(last, recipe.output.scores_tensor));
        Findings findings;
        findings.scores.assign(out.values.begin(), out.values.end());
        return findings;
      }
      case OutputKind::kTensors: {
        Findings findings;
        findings.tensors.assign(last.begin(), last.end());
        return findings;
      }
    }
    return internal_error("a kind of output without interpretation");
  };
  MOTET_ASSIGN(Findings findings, read());
  findings.kind = recipe.output.kind;
  return findings;
}

}  // namespace motet::prep
