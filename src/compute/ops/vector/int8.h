// Products with weights of int8: the inner loops of motet:QuantisedMatMul. Plain functions on pointers: no allocation,
// no threads, no failure. Any thread. Each element of a result is computed in one fixed order, whatever block it is in.
//
// Weights lie in panels of 32 columns, each [quads][32][4]: four steps of depth of a column side by side, as the
// instructions for products of bytes want them, and zeros beyond the last column and the last step. Weights are
// number * scales[column].
#pragma once

#include <cstdint>

namespace motet::ops::vec {

inline constexpr int64_t kInt8Columns = 32;
inline constexpr int64_t kQuad = 4;
static constexpr int64_t quads_of(int64_t depth) { return (depth + kQuad - 1) / kQuad; }
static constexpr int64_t panel_bytes(int64_t depth) { return quads_of(depth) * kInt8Columns * kQuad; }

// y[rows, columns] = x[rows, depth] w[depth, columns] + bias.
struct Int8Block {
  int64_t rows = 0, depth = 0, columns = 0;
  const int8_t* panels = nullptr;  // of the columns; the first begins a panel
  const float* scales = nullptr;   // of the columns; as many as the panels have
  const int32_t* sums = nullptr;   // of each column's numbers; likewise. For quantised rows
  const float* bias = nullptr;     // of the columns; may be null
  const float* x = nullptr;        // the rows, or
  const uint8_t* bytes = nullptr;  // quantised: (byte - zero) * scale, followed by any bytes to whole quads
  int64_t x_row = 0;               // pitch of either
  const float* row_scales = nullptr;
  const int32_t* row_zeros = nullptr;
  float* y = nullptr;
  int64_t y_row = 0;
};

// Of a row's numbers, and zero: what quantising it is about. Both are NaN if a number is not finite.
struct Range {
  float least = 0, most = 0;
};

// What needs instructions for products of u8 and i8 with sums in i32 (AVX512_VNNI).
struct ByteLoops {
  Range (*range)(const float* x, int64_t n);
  // bytes[i] = x[i] / scale to the nearest integer, half to even, plus zero, within 0 .. 255; y[n .. whole quads) = 0.
  void (*quantise)(const float* x, int64_t n, float scale, int32_t zero, uint8_t* bytes);
  // The block by its `bytes`, with sums in i32: exact, so that only scaling rounds. REQUIRES: depth <= 65536.
  void (*multiply)(const Int8Block& block);
};
// Null where this CPU has no such instructions.
const ByteLoops* byte_loops();

}  // namespace motet::ops::vec
