#include "base/tensor/shape.h"

#include "base/check.h"

namespace motet {

std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

Result<int64_t> checked_elements(std::span<const int64_t> shape) {
  int64_t product = 1;
  bool empty = false;
  for (int64_t extent : shape) {
    if (extent < 0) return invalid_argument("shape " + shape_to_string(shape) + " has the negative extent " + std::to_string(extent));
    if (extent == 0) { empty = true; continue; }
    auto next = checked_multiply(product, extent);
    if (!next || *next > (int64_t{1} << 56)) return invalid_argument("shape " + shape_to_string(shape) + " has too many elements");
    product = *next;
  }
  return empty ? int64_t{0} : product;
}

int64_t elements(std::span<const int64_t> shape) {
  auto count = checked_elements(shape);
  MOTET_CHECK(count.ok(), "elements() of an unsound shape");
  return *count;
}

std::string shape_to_string(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(shape[i]);
  }
  return out + "]";
}

}  // namespace motet
