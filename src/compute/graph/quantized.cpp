#include "compute/graph/quantized.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace motet::graph {
namespace {

template <class T>
std::vector<int32_t> to_i32(const Tensor& tensor) {
  auto values = tensor.view().as<const T>();
  return {values.begin(), values.end()};
}

std::optional<std::vector<int32_t>> integers_of(const Value& value) {
  if (!value.constant) return std::nullopt;
  switch (value.constant->dtype()) {
    case DType::kU8: return to_i32<uint8_t>(*value.constant);
    case DType::kI8: return to_i32<int8_t>(*value.constant);
    case DType::kI32: return to_i32<int32_t>(*value.constant);
    default: return std::nullopt;
  }
}

// A constant bias as real numbers.
std::optional<std::vector<float>> real_bias(const Rewriter& rewriter, ValueId bias, int64_t channels) {
  std::vector<float> real;
  if (auto floats = floats_of(rewriter.value(bias))) {
    real.assign(floats->begin(), floats->end());
  } else if (auto linear = dequantised(rewriter, bias)) {
    auto numbers = integers_of(rewriter.value(linear->numbers));
    auto zeros = zeros_of(rewriter, *linear);
    auto scales = floats_of(rewriter.value(linear->scale));
    if (!numbers || !zeros || !scales) return std::nullopt;
    for (size_t i = 0; i < numbers->size(); ++i) {
      float scale = (*scales)[scales->size() == 1 ? 0 : i];
      real.push_back(static_cast<float>((*numbers)[i] - (*zeros)[zeros->size() == 1 ? 0 : i]) * scale);
    }
  }
  if (static_cast<int64_t>(real.size()) != channels) return std::nullopt;
  return real;
}

}  // namespace

std::optional<Linear> dequantised(const Rewriter& rewriter, ValueId id) {
  if (id == kNoValue) return std::nullopt;
  int index = rewriter.maker(id);
  if (index < 0 || rewriter.removed(index)) return std::nullopt;
  const Node& node = rewriter.node(index);
  if (node.op != "DequantizeLinear" || node.inputs.size() < 2 || node.int_or("block_size", 0) != 0) return std::nullopt;
  Linear linear{node.inputs[0], node.inputs[1], node.inputs.size() > 2 ? node.inputs[2] : kNoValue};
  if (!floats_of(rewriter.value(linear.scale))) return std::nullopt;
  if (linear.zero != kNoValue && !integers_of(rewriter.value(linear.zero))) return std::nullopt;
  return linear;
}

bool is_per_tensor(const Rewriter& rewriter, const Linear& linear) {
  if (!scalar_of(rewriter.value(linear.scale))) return false;
  auto small = [](std::optional<DType> dtype) { return dtype == DType::kU8 || dtype == DType::kI8; };
  if (linear.zero == kNoValue) return small(rewriter.value(linear.numbers).dtype);
  const Value& zero = rewriter.value(linear.zero);
  return zero.constant && elements(zero.constant->shape()) == 1 && small(zero.constant->dtype());
}

std::optional<std::vector<int32_t>> zeros_of(const Rewriter& rewriter, const Linear& linear) {
  if (linear.zero == kNoValue) return std::vector<int32_t>{0};
  return integers_of(rewriter.value(linear.zero));
}

bool fits_i8(const Rewriter& rewriter, const Linear& weights, size_t axis) {
  const Value& value = rewriter.value(weights.numbers);
  auto numbers = integers_of(value);
  auto zeros = zeros_of(rewriter, weights);
  auto scales = floats_of(rewriter.value(weights.scale));
  if (!numbers || !zeros || !scales || value.constant->dtype() == DType::kI32) return false;
  const Shape& shape = value.constant->shape();
  if (axis >= shape.size() || numbers->empty()) return false;
  auto channels = static_cast<size_t>(shape[axis]);
  for (size_t count : {zeros->size(), scales->size()})
    if (count != 1 && count != channels) return false;
  size_t inner = static_cast<size_t>(elements(std::span(shape).subspan(axis + 1)));
  for (size_t i = 0; i < numbers->size(); ++i) {
    int32_t number = (*numbers)[i] - (*zeros)[zeros->size() == 1 ? 0 : i / inner % channels];
    if (number < -128 || number > 127) return false;
  }
  return true;
}

std::optional<ValueId> bias_as_i32(Rewriter& rewriter, ValueId bias, ValueId x_scale, ValueId weight_scale,
                                   int64_t channels) {
  auto real = real_bias(rewriter, bias, channels);
  auto scale = scalar_of(rewriter.value(x_scale));
  auto scales = floats_of(rewriter.value(weight_scale));
  if (!real || !scale || !scales) return std::nullopt;
  std::vector<int32_t> numbers;
  for (size_t i = 0; i < real->size(); ++i) {
    double unit = static_cast<double>(*scale) * static_cast<double>((*scales)[scales->size() == 1 ? 0 : i]);
    double number = unit > 0 ? std::nearbyint(static_cast<double>((*real)[i]) / unit) : 0;
    constexpr double kLow = std::numeric_limits<int32_t>::min(), kHigh = std::numeric_limits<int32_t>::max();
    numbers.push_back(static_cast<int32_t>(std::clamp(number, kLow, kHigh)));
  }
  return rewriter.add_constant(rewriter.value(bias).name, Tensor::of<int32_t>({channels}, numbers));
}

ValueId zero_or_new(Rewriter& rewriter, ValueId zero, DType dtype) {
  return zero != kNoValue ? zero : rewriter.add_constant("zero", Tensor::zeros(dtype, {}));
}

}  // namespace motet::graph
