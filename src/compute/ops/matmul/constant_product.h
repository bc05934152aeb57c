// A product whose right-hand side is a constant matrix, as the kernels that pack it beforehand read it. Pure functions,
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compute/ops/kernel.h"

namespace motet::ops {

// [m, k] x [k, n], all extents at least 1.
struct ConstantProduct {
  int64_t m = 0, k = 0, n = 0;
  DType type = DType::kF32, result = DType::kF32;  // of the left-hand side and of the result: f32 or bf16
  bool turned = false;                             // the right-hand side lies as [n, k]
  int bias = -1;                                   // the input with one f32 a column; -1 if there is none
};

// MatMul or Gemm, without transA, alpha and beta, with a right-hand side of f32; fused additions are of f32 or bf16 and
// of the result's shape. The Error tells what it is instead.
Result<ConstantProduct> read_constant_product(const NodeRequest& request);

// Row i of the right-hand side that lies at `right`, at any alignment: `count` columns from `first`.
void copy_row(const ConstantProduct& product, const std::byte* right, int64_t i, int64_t first, int64_t count,
              float* to);

}  // namespace motet::ops
