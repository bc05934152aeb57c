// Rows of f32 or bf16 operands as f32: a block at a time is widened into memory that stays in the first-level cache,
// computed on there, and rounded once when it is stored. Any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/tensor/dtype.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {

// Elements of a block.
inline constexpr int64_t kWidened = 1024;

struct Block {
  alignas(64) float values[kWidened];
};

// n <= kWidened elements from element `at` of `data` on, where they lie if they are f32, else widened into `block`.
inline const float* widened(DType dtype, const std::byte* data, int64_t at, int64_t n, Block& block) {
  if (dtype == DType::kF32) return reinterpret_cast<const float*>(data) + at;
  vec::loops().widen(reinterpret_cast<const uint16_t*>(data) + at, block.values, n);
  return block.values;
}

// Where to compute n <= kWidened results that belong at element `at` of `data`; store_widened() puts them there.
inline float* result_block(DType dtype, std::byte* data, int64_t at, Block& block) {
  return dtype == DType::kF32 ? reinterpret_cast<float*>(data) + at : block.values;
}
inline void store_widened(DType dtype, const float* values, std::byte* data, int64_t at, int64_t n) {
  if (dtype == DType::kBF16) vec::loops().narrow(values, reinterpret_cast<uint16_t*>(data) + at, n);
}

// f(first, count) over blocks of [begin, end).
template <class F>
void for_blocks(int64_t begin, int64_t end, F&& f) {
  for (int64_t at = begin; at < end; at += kWidened) f(at, std::min(kWidened, end - at));
}

}  // namespace motet::ops
