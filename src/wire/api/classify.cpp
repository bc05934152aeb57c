#include "wire/api/classify.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <vector>

namespace motet::api {
namespace {

// What the result owns: the elements and their characters.
struct ClassBlock {
  std::vector<std::string> texts;
  std::vector<std::string_view> elements;
};

template <class T>
std::string value_text(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    char text[512];  // the longest double has 309 digits before the point
    auto end = std::to_chars(text, text + sizeof text, static_cast<double>(value), std::chars_format::fixed, 6).ptr;
    return {text, end};
  } else {
    return std::to_string(+value);
  }
}

template <class T>
bool better(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  }
  return a > b;
}

template <class T>
void best_of_row(std::span<const T> row, int64_t count, std::span<const std::string> labels,
                 std::vector<std::string>& out) {
  std::vector<uint32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0U);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](uint32_t a, uint32_t b) {
    if (better(row[a], row[b])) return true;
    return !better(row[b], row[a]) && a < b;
  });
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t index = order[static_cast<size_t>(i)];
    std::string text = value_text(row[index]) + ":" + std::to_string(index);
    if (index < labels.size() && !labels[index].empty()) text += ":" + labels[index];
    out.push_back(std::move(text));
  }
}

template <class T>
void best_of_rows(std::span<const T> values, int64_t rows, int64_t count, std::span<const std::string> labels,
                  std::vector<std::string>& out) {
  const size_t classes = values.size() / static_cast<size_t>(rows);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r)
    best_of_row(values.subspan(r * classes, classes), count, labels, out);
}

std::vector<float> widen(const TensorView& scores, float (*convert)(uint16_t)) {
  std::vector<float> out;
  for (uint16_t bits : scores.as<const uint16_t>()) out.push_back(convert(bits));
  return out;
}

}  // namespace

Tensor classify(const TensorView& scores, int64_t k, bool batched, std::span<const std::string> labels) {
  MOTET_CHECK(k > 0 && scores.dtype != DType::kString && (!batched || !scores.shape.empty()),
              "a tensor that can be classified");
  const int64_t rows = batched ? scores.shape[0] : 1;
  const int64_t classes = rows == 0 ? 0 : scores.elements() / rows;
  const int64_t count = std::min(k, classes);
  auto block = std::make_shared<ClassBlock>();
  auto run = [&]<class T>(std::span<const T> values) {
    if (rows > 0 && classes > 0) best_of_rows(values, rows, count, labels, block->texts);
  };
  switch (scores.dtype) {
    case DType::kBool: {
      std::span<const bool> flags = scores.as<const bool>();
      std::vector<uint8_t> values(flags.begin(), flags.end());
      run(std::span<const uint8_t>(values));
      break;
    }
    case DType::kU8: run(std::span<const uint8_t>(scores.as<const uint8_t>())); break;
    case DType::kU16: run(std::span<const uint16_t>(scores.as<const uint16_t>())); break;
    case DType::kU32: run(std::span<const uint32_t>(scores.as<const uint32_t>())); break;
    case DType::kU64: run(std::span<const uint64_t>(scores.as<const uint64_t>())); break;
    case DType::kI8: run(std::span<const int8_t>(scores.as<const int8_t>())); break;
    case DType::kI16: run(std::span<const int16_t>(scores.as<const int16_t>())); break;
    case DType::kI32: run(std::span<const int32_t>(scores.as<const int32_t>())); break;
    case DType::kI64: run(std::span<const int64_t>(scores.as<const int64_t>())); break;
    case DType::kF16: run(std::span<const float>(widen(scores, f16_to_float))); break;
    case DType::kBF16: run(std::span<const float>(widen(scores, bf16_to_float))); break;
    case DType::kF32: run(std::span<const float>(scores.as<const float>())); break;
    case DType::kF64: run(std::span<const double>(scores.as<const double>())); break;
    case DType::kString: break;
  }
  block->elements.assign(block->texts.begin(), block->texts.end());
  Shape shape = batched ? Shape{rows, count} : Shape{count};
  TensorView view{DType::kString, std::move(shape), reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

}  // namespace motet::api
