#include "values.h"

namespace motet::zoo {
namespace {

// SplitMix64's output function on a counter (Steele, Lea, Flood 2014).
uint64_t mix(uint64_t counter) {
  uint64_t z = counter * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// FNV-1a of the name, then the seed.
uint64_t stream(const std::string& name, uint64_t seed) {
  uint64_t h = 0xCBF29CE484222325;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return mix(h ^ seed);
}

// [0, 1) by steps of 2^-24.
double unit(uint64_t bits) { return static_cast<double>(bits >> 40) * 0x1p-24; }

// A grey of its own for each plane, stripes of 16 rows and grain.
double pixel(uint64_t start, uint64_t index, uint64_t plane, uint64_t stripe) {
  double grey = unit(mix(~(start + index / plane)));
  double band = unit(mix((start ^ 0x5555) + index / stripe));
  return 0.4 * grey + 0.3 * band + 0.3 * unit(mix(start + index));
}

double value(const Input& input, const Shape& shape, uint64_t start, uint64_t index) {
  auto last = static_cast<uint64_t>(shape.back());
  if (input.kind == "image") {
    uint64_t plane = last * static_cast<uint64_t>(shape[shape.size() - 2]);
    return input.low + (input.high - input.low) * pixel(start, index, plane, last * 16);
  }
  if (input.kind == "uniform") return input.low + (input.high - input.low) * unit(mix(start + index));
  if (input.kind == "integer")
    return input.low + static_cast<double>((mix(start + index) >> 33) % static_cast<uint64_t>(input.high - input.low));
  uint64_t row = index / last;  // "prefix"
  return index % last < 1 + mix(start + row) % last ? 1 : 0;
}

template <class T>
void fill(const Tensor& tensor, const Input& input, uint64_t start) {
  auto elements = tensor.view().as<T>();
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<T>(value(input, tensor.shape(), start, i));
}

}  // namespace

Shape shape_of(const Input& input, int64_t batch, int64_t length) {
  Shape shape;
  for (const std::string& dim : input.dims)
    shape.push_back(dim == "batch" ? batch : dim == "length" ? length : std::stoll(dim));
  return shape;
}

Result<Tensor> draw(const Input& input, uint64_t seed, int64_t batch, int64_t length) {
  if (input.kind != "image" && input.kind != "uniform" && input.kind != "integer" && input.kind != "prefix")
    return invalid_argument("input '" + input.name + "' is of kind '" + input.kind +
                            "'; image, uniform, integer and prefix are known");
  Tensor tensor = Tensor::zeros(input.dtype, shape_of(input, batch, length));
  uint64_t start = stream(input.name, seed);
  if (input.dtype == DType::kF32)
    fill<float>(tensor, input, start);
  else if (input.dtype == DType::kI64)
    fill<int64_t>(tensor, input, start);
  else
    return invalid_argument("input '" + input.name + "' is neither f32 nor i64");
  return tensor;
}

}  // namespace motet::zoo
