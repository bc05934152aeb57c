// The f32 inner loops that every kernel of ours is made of, compiled once for each instruction set and chosen at the
// first call from what the CPU has. Plain functions on pointers: no allocation, no threads, no failure. Any thread.
//
// Every element of a result depends on its own operands only and is computed in one fixed order, so cutting a range
// into parts never changes its bits. Bits may differ between instruction sets (fused multiply-add).
#pragma once

#include <cstdint>

#include "compute/ops/vector/int8.h"

namespace motet::ops::vec {

enum class Unary : uint8_t {
  kCopy,
  kAbs,
  kNeg,
  kSqrt,
  kReciprocal,
  kFloor,
  kCeil,
  kRound,
  kSquare,
  kExp,
  kErf,
  kTanh,
  kSigmoid,
  kRelu,
  kClip,         // alpha: low, beta: high
  kLeakyRelu,    // alpha: slope
  kElu,          // alpha
  kSelu,         // alpha, beta: gamma
  kHardSigmoid,  // max(0, min(1, alpha x + beta))
  kHardSwish,    // x max(0, min(1, x/6 + 1/2))
  kSwish,        // x sigmoid(alpha x)
  kGeluErf,
  kGeluTanh,
  kScaleShift,  // alpha x + beta
};

enum class Binary : uint8_t { kAdd, kSub, kMul, kDiv, kMax, kMin };

// Columns of a panel of packed weights, and most rows that are multiplied with panels at once.
inline constexpr int64_t kPanelColumns = 32;
inline constexpr int64_t kPanelMostRows = 64;

// Most rows of one block of attention, and rows whose sums are in registers at once.
inline constexpr int64_t kAttentionRows = 48;
inline constexpr int64_t kAttentionGroup = 6;

// Some rows of one head's queries against all its keys. Columns of q, k, v and out lie side by side.
struct AttentionBlock {
  int64_t rows = 0, keys = 0;    // rows <= kAttentionRows, keys >= 1
  int64_t depth = 0, width = 0;  // elements of a key, and of a value
  const float* q = nullptr;      // [rows, depth]
  int64_t q_row = 0;             // pitch
  const float* k = nullptr;      // [keys, depth]
  int64_t k_row = 0;             // 1: the keys lie turned, and
  int64_t k_column = 1;          // this is the pitch of [depth, keys]
  const float* v = nullptr;      // [keys, width]
  int64_t v_row = 0;
  // Room for the head's keys and values side by side, [depth, score_row] and [keys, width]; null: they are read where
  // they lie, and k_column is 1 unless k_row is.
  float *key_room = nullptr, *value_room = nullptr;
  bool packed = false;          // they lie there from the block before
  const float* mask = nullptr;  // [rows, keys], added to the scores; may be null
  int64_t mask_row = 0;
  int64_t mask_column = 0;   // 0 or 1
  float scale = 1;           // of the scores
  bool zero_masked = false;  // a row whose weights are not numbers gives zeros
  // Keys, from the first, that each group of rows looks at: at least 1. The weights of those behind are zero.
  int64_t reach[kAttentionRows / kAttentionGroup] = {};
  float* scores = nullptr;  // [rows, score_row] for use in between
  int64_t score_row = 0;    // keys, filled up to a multiple of 16
  float* out = nullptr;     // [rows, width]
  int64_t out_row = 0;
};

// Some rows of a depthwise convolution's output, for as many channels of one picture as a register holds, with an
// activation. Columns lie `pixel` elements apart in input and output.
struct DepthwisePlane {
  const float* x = nullptr;        // [rows, columns], of these channels
  const float* weights = nullptr;  // [kernel, kernel, lanes]
  const float* bias = nullptr;     // [lanes]
  float* y = nullptr;              // [.., out_columns]
  int64_t pixel = 0;
  int64_t rows = 0, columns = 0;  // of the input
  int64_t out_columns = 0;
  int64_t begin = 0, end = 0;         // rows of the output to compute
  int64_t kernel = 3, stride = 1;     // both ways: 3, 5 or 7; 1 or 2
  int64_t pad_top = 0, pad_left = 0;  // less than `kernel`, and so is what the last windows lack
  Unary activation = Unary::kCopy;    // or kRelu, kClip, kHardSwish, kSwish of alpha 1
  float alpha = 0, beta = 0;
};

struct Loops {
  const char* isa;
  int64_t lanes;  // f32 in a register

  // y[i] = f(x[i]). y may be x.
  void (*unary)(Unary kind, const float* x, float* y, int64_t n, float alpha, float beta);
  // y[i] = a[i * a_step] op b[i * b_step], steps 0 or 1. y may be a or b.
  void (*binary)(Binary kind, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n);
  // y[i] += a x[i]
  void (*axpy)(float a, const float* x, float* y, int64_t n);
  // C[m,n] = bias[n] + A[m,k] B[k,n], row-major with row pitches; bias may be null, accumulate adds to C as it is.
  void (*gemm)(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
               int64_t ldc, const float* bias, bool accumulate);
  // The same with B in panels: [panel][k][kPanelColumns], the columns beyond n zeros. m <= kPanelMostRows.
  void (*multiply_panels)(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* panels, float* c,
                          int64_t ldc, const float* bias, bool accumulate);
  // Reductions of one row, n >= 1, in sixteen interleaved partial results.
  float (*sum)(const float* x, int64_t n);
  float (*sum_of_squares)(const float* x, int64_t n);
  float (*max)(const float* x, int64_t n);  // NaN if any element is
  float (*dot)(const float* a, const float* b, int64_t n);
  // sum of (x[i] - mean)^2
  float (*squared_deviation)(const float* x, int64_t n, float mean);
  // y[i] = exp(x[i] - shift); returns their sum. y may be x.
  float (*exp_sum)(const float* x, float* y, int64_t n, float shift);
  // y[i] = (x[i] - mean) * scale * gamma[i] + beta[i]; gamma and beta may be null.
  void (*normalise)(const float* x, float* y, int64_t n, float mean, float scale, const float* gamma,
                    const float* beta);
  // bf16 to f32, and back with rounding to nearest even; NaN stays NaN.
  void (*widen)(const uint16_t* x, float* y, int64_t n);
  void (*narrow)(const float* x, uint16_t* y, int64_t n);
  // y[i] = x[i] / scale to the nearest integer, half to even, plus zero, within the type's bounds; NaN gives the least.
  void (*to_u8)(const float* x, uint8_t* y, int64_t n, float scale, float zero);
  void (*to_i8)(const float* x, int8_t* y, int64_t n, float scale, float zero);
  // y[i] = (x[i] - zero) * scale
  void (*from_u8)(const uint8_t* x, float* y, int64_t n, float scale, float zero);
  void (*from_i8)(const int8_t* x, float* y, int64_t n, float scale, float zero);
  // n numbers in rows of `period`, of which the last may be short, at column j: sums[j] += x
  void (*add_rows)(const float* x, int64_t n, int64_t period, float* sums);
  // sums[j] += (x - mean[j])^2
  void (*add_squared_rows)(const float* x, const float* mean, int64_t n, int64_t period, float* sums);
  // y = x factor[j] + addend[j]. y may be x.
  void (*scale_rows)(const float* x, const float* factor, const float* addend, int64_t n, int64_t period, float* y);
  // y[c * y_row + r] = x[r * x_row + c]
  void (*turn)(const float* x, int64_t x_row, int64_t rows, int64_t columns, float* y, int64_t y_row);
  // out = softmax(scale q k^T + mask) v
  void (*attend)(const AttentionBlock& block);
  void (*depthwise)(const DepthwisePlane& plane);
  // y[p * channels + c] = x[p * channels + c] * factor[c]. y may be x.
  void (*scale_pixels)(const float* x, const float* factor, int64_t pixels, int64_t channels, float* y);
  // The block by its `x`: weights of int8 are widened in registers.
  void (*multiply_i8)(const Int8Block& block);
};

const Loops& loops();
// The loops of every instruction set that this CPU has, the plainest first; for tests.
int available_isas(const Loops* (&out)[3]);

}  // namespace motet::ops::vec
