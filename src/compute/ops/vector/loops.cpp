// Compiled several times with different -m flags. To keep one build's code out of another's, it includes no header with
// inline functions beyond loops.h, and everything but the table has internal linkage.
#include "compute/ops/vector/loops.h"

#include "compute/ops/vector/math.inc"

#if !defined(MOTET_VECTOR_TABLE) || !defined(MOTET_VECTOR_BYTES)
#error "the build names the table and the vector width"
#endif

#include "compute/ops/vector/gemm.inc"
#include "compute/ops/vector/panels.inc"

namespace motet::ops::vec {
namespace {

// A result lies apart from its operands or is one of them, element by element: what a loop reads is never what an
// earlier turn wrote. Without being told, compilers check for that and run in place what is in place one by one.
#if defined(__clang__)
#define MOTET_VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define MOTET_VECTOR_LOOP _Pragma("GCC ivdep")
#endif

template <class F>
inline void map(const float* x, float* y, int64_t n, F f) {
  MOTET_VECTOR_LOOP
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

void unary(Unary kind, const float* x, float* y, int64_t n, float alpha, float beta) {
  switch (kind) {
    case Unary::kCopy: return map(x, y, n, [](float v) { return v; });
    case Unary::kAbs: return map(x, y, n, [](float v) { return __builtin_fabsf(v); });
    case Unary::kNeg: return map(x, y, n, [](float v) { return -v; });
    case Unary::kSqrt: return map(x, y, n, [](float v) { return __builtin_sqrtf(v); });
    case Unary::kReciprocal: return map(x, y, n, [](float v) { return 1.0f / v; });
    case Unary::kFloor: return map(x, y, n, [](float v) { return __builtin_floorf(v); });
    case Unary::kCeil: return map(x, y, n, [](float v) { return __builtin_ceilf(v); });
    case Unary::kRound: return map(x, y, n, [](float v) { return __builtin_rintf(v); });
    case Unary::kSquare: return map(x, y, n, [](float v) { return v * v; });
    case Unary::kExp: return map(x, y, n, [](float v) { return exp_f32(v); });
    case Unary::kErf: return map(x, y, n, [](float v) { return erf_f32(v); });
    case Unary::kTanh: return map(x, y, n, [](float v) { return tanh_f32(v); });
    case Unary::kSigmoid: return map(x, y, n, [](float v) { return sigmoid_f32(v); });
    case Unary::kRelu: return map(x, y, n, [](float v) { return v < 0.0f ? 0.0f : v; });
    case Unary::kClip: return map(x, y, n, [=](float v) { return at_most(at_least(v, alpha), beta); });
    case Unary::kLeakyRelu: return map(x, y, n, [=](float v) { return v < 0.0f ? alpha * v : v; });
    case Unary::kElu: return map(x, y, n, [=](float v) { return v < 0.0f ? alpha * expm1_f32(v) : v; });
    case Unary::kSelu:
      return map(x, y, n, [=](float v) { return v > 0.0f ? beta * v : beta * (alpha * expm1_f32(v)); });
    case Unary::kHardSigmoid:
      return map(x, y, n, [=](float v) { return at_most(at_least(alpha * v + beta, 0.0f), 1.0f); });
    case Unary::kHardSwish:
      return map(x, y, n, [](float v) { return v * at_most(at_least(v * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f); });
    case Unary::kSwish: return map(x, y, n, [=](float v) { return v * sigmoid_f32(alpha * v); });
    case Unary::kGeluErf:
      return map(x, y, n, [](float v) { return 0.5f * v * (1.0f + erf_for_gelu(v * 0.70710678118654752f)); });
    case Unary::kGeluTanh:
      return map(x, y, n, [](float v) {
        return 0.5f * v * (1.0f + tanh_for_gelu(0.79788456080286536f * (v + 0.044715f * v * v * v)));
      });
    case Unary::kScaleShift: return map(x, y, n, [=](float v) { return alpha * v + beta; });
  }
}

template <class F>
inline void zip(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n, F f) {
  if (a_step != 0 && b_step != 0) {
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step != 0) {
    const float scalar = *b;
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], scalar);
  } else if (b_step != 0) {
    const float scalar = *a;
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = f(scalar, b[i]);
  } else {
    const float value = f(*a, *b);
    for (int64_t i = 0; i < n; ++i) y[i] = value;
  }
}

void binary(Binary kind, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n) {
  switch (kind) {
    case Binary::kAdd: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p + q; });
    case Binary::kSub: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p - q; });
    case Binary::kMul: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p * q; });
    case Binary::kDiv: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p / q; });
    case Binary::kMax: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p > q || p != p ? p : q; });
    case Binary::kMin: return zip(a, a_step, b, b_step, y, n, [](float p, float q) { return p < q || p != p ? p : q; });
  }
}

void axpy(float a, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

constexpr int64_t kPartials = 16;

// Folds x[0..n) into sixteen partial results (element i into i mod 16), then those in order.
template <class Term, class Join>
inline float fold(int64_t n, float start, Term term, Join join) {
  float partial[kPartials];
  for (int64_t p = 0; p < kPartials; ++p) partial[p] = start;
  int64_t i = 0;
  for (; i + kPartials <= n; i += kPartials) {
    for (int64_t p = 0; p < kPartials; ++p) partial[p] = join(partial[p], term(i + p));
  }
  for (int64_t p = 0; i + p < n; ++p) partial[p] = join(partial[p], term(i + p));
  for (int64_t width = kPartials / 2; width > 0; width /= 2) {
    for (int64_t p = 0; p < width; ++p) partial[p] = join(partial[p], partial[p + width]);
  }
  return partial[0];
}

inline float plus(float a, float b) { return a + b; }

float sum(const float* x, int64_t n) {
  return fold(n, 0.0f, [=](int64_t i) { return x[i]; }, plus);
}
float sum_of_squares(const float* x, int64_t n) {
  return fold(n, 0.0f, [=](int64_t i) { return x[i] * x[i]; }, plus);
}
float max(const float* x, int64_t n) {
  return fold(n, x[0], [=](int64_t i) { return x[i]; }, [](float a, float b) { return a > b || a != a ? a : b; });
}
float dot(const float* a, const float* b, int64_t n) {
  return fold(n, 0.0f, [=](int64_t i) { return a[i] * b[i]; }, plus);
}
float squared_deviation(const float* x, int64_t n, float mean) {
  return fold(n, 0.0f, [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); }, plus);
}

float exp_sum(const float* x, float* y, int64_t n, float shift) {
  map(x, y, n, [=](float v) { return exp_f32(v - shift); });
  return sum(y, n);
}

void normalise(const float* x, float* y, int64_t n, float mean, float scale, const float* gamma, const float* beta) {
  if (gamma != nullptr && beta != nullptr) {
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
  } else if (gamma != nullptr) {
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * gamma[i];
  } else {
    MOTET_VECTOR_LOOP
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale;
  }
}

void widen(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = __builtin_bit_cast(float, static_cast<uint32_t>(x[i]) << 16);
}

void narrow(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = __builtin_bit_cast(uint32_t, x[i]);
    const uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x40U;
    y[i] = static_cast<uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded);
  }
}

template <class T>
inline void quantise(const float* x, T* y, int64_t n, float scale, float zero, float low, float high) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = __builtin_rintf(x[i] / scale) + zero;
    const float raised = v > low ? v : low;  // NaN too
    y[i] = static_cast<T>(static_cast<int>(raised < high ? raised : high));
  }
}

template <class T>
inline void dequantise(const T* x, float* y, int64_t n, float scale, float zero) {
  for (int64_t i = 0; i < n; ++i) y[i] = (static_cast<float>(x[i]) - zero) * scale;
}

void to_u8(const float* x, uint8_t* y, int64_t n, float scale, float zero) { quantise(x, y, n, scale, zero, 0, 255); }
void to_i8(const float* x, int8_t* y, int64_t n, float scale, float zero) { quantise(x, y, n, scale, zero, -128, 127); }
void from_u8(const uint8_t* x, float* y, int64_t n, float scale, float zero) { dequantise(x, y, n, scale, zero); }
void from_i8(const int8_t* x, float* y, int64_t n, float scale, float zero) { dequantise(x, y, n, scale, zero); }

// Columns that stay in registers while the rows go by.
constexpr int64_t kColumns = 4 * MOTET_VECTOR_BYTES / 4;

// f(x, column) of every number of a column added to its sum, a few columns at a time.
template <class F>
inline void add_columns(const float* x, int64_t n, int64_t period, float* sums, F f) {
  const int64_t rows = n / period, rest = n % period;
  int64_t first = 0;
  for (; first + kColumns <= period; first += kColumns) {
    float acc[kColumns];
    for (int64_t j = 0; j < kColumns; ++j) acc[j] = sums[first + j];
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < kColumns; ++j) acc[j] += f(x[r * period + first + j], first + j);
    for (int64_t j = 0; j < kColumns; ++j) sums[first + j] = acc[j];
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = first; j < period; ++j) sums[j] += f(x[r * period + j], j);
  for (int64_t j = 0; j < rest; ++j) sums[j] += f(x[rows * period + j], j);
}

void add_rows(const float* x, int64_t n, int64_t period, float* sums) {
  add_columns(x, n, period, sums, [](float v, int64_t) { return v; });
}

void add_squared_rows(const float* x, const float* mean, int64_t n, int64_t period, float* sums) {
  add_columns(x, n, period, sums, [=](float v, int64_t j) {
    const float apart = v - mean[j];
    return apart * apart;
  });
}

void scale_rows(const float* x, const float* factor, const float* addend, int64_t n, int64_t period, float* y) {
  for (; n > 0; n -= period, x += period, y += period) {
    const int64_t columns = n < period ? n : period;
    MOTET_VECTOR_LOOP
    for (int64_t j = 0; j < columns; ++j) y[j] = x[j] * factor[j] + addend[j];
  }
}

}  // namespace
}  // namespace motet::ops::vec

#include "compute/ops/vector/attention.inc"
#include "compute/ops/vector/depthwise.inc"
#include "compute/ops/vector/int8.inc"

namespace motet::ops::vec {

extern const Loops MOTET_VECTOR_TABLE;
const Loops MOTET_VECTOR_TABLE = {MOTET_VECTOR_ISA,
                                  kLanes,
                                  unary,
                                  binary,
                                  axpy,
                                  gemm,
                                  multiply_panels,
                                  sum,
                                  sum_of_squares,
                                  max,
                                  dot,
                                  squared_deviation,
                                  exp_sum,
                                  normalise,
                                  widen,
                                  narrow,
                                  to_u8,
                                  to_i8,
                                  from_u8,
                                  from_i8,
                                  add_rows,
                                  add_squared_rows,
                                  scale_rows,
                                  turn,
                                  attend,
                                  depthwise,
                                  scale_pixels,
                                  multiply_i8};

}  // namespace motet::ops::vec
