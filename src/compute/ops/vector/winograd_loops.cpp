// Compiled with AVX-512, once for f32 and once, with MOTET_WINOGRAD_BF16, for bf16. To keep this build's code out of
// another's, it includes no header with inline functions beyond winograd.h.
#include <immintrin.h>

#include "compute/ops/vector/winograd.h"

namespace motet::ops::vec {
namespace {

#ifdef MOTET_WINOGRAD_BF16

using Element = uint16_t;
constexpr int kPairs = 2;
typedef int Pair __attribute__((aligned(2), may_alias));

inline __m512 load(const Element* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void store(Element* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

inline __m512 spread(const Element* a) {
  return _mm512_castsi512_ps(_mm512_set1_epi32(*reinterpret_cast<const Pair*>(a)));
}

inline __m512 add_product(__m512 sum, __m512 a, __m512 row) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(row));
}

#else

using Element = float;
constexpr int kPairs = 1;

inline __m512 load(const Element* from) { return _mm512_loadu_ps(from); }
inline void store(Element* to, __m512 values) { _mm512_storeu_ps(to, values); }
inline __m512 spread(const Element* a) { return _mm512_set1_ps(*a); }
inline __m512 add_product(__m512 sum, __m512 a, __m512 row) { return _mm512_fmadd_ps(a, row, sum); }

#endif

// The paper's matrices along one axis: G as it is, B^T and A^T as what they do to a vector.
template <int Tile>
struct Form;

// By the points 0, 1, -1 and infinity.
template <>
struct Form<2> {
  static constexpr double kWeights[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

  static void transform(const __m512 (&d)[4], __m512 (&to)[4]) {
    to[0] = _mm512_sub_ps(d[0], d[2]);
    to[1] = _mm512_add_ps(d[1], d[2]);
    to[2] = _mm512_sub_ps(d[2], d[1]);
    to[3] = _mm512_sub_ps(d[1], d[3]);
  }

  static void gather(const __m512 (&m)[4], __m512 (&to)[2]) {
    to[0] = _mm512_add_ps(_mm512_add_ps(m[0], m[1]), m[2]);
    to[1] = _mm512_sub_ps(_mm512_sub_ps(m[1], m[2]), m[3]);
  }
};

#ifndef MOTET_WINOGRAD_BF16
// By the points 0, p, -p, q, -q and infinity. Powers of these p and q are exact.
template <>
struct Form<4> {
  static constexpr float p1 = 0.625F, p2 = p1 * p1, p3 = p2 * p1;
  static constexpr float q1 = 1.5F, q2 = q1 * q1, q3 = q2 * q1;
  // One over the product of a point's distances from the others, times its powers.
  static constexpr double kZero = 1.0 / (double{p2} * q2);
  static constexpr double kP0 = 0.5 / (double{p2} * (p2 - q2)), kP1 = kP0 * p1, kP2 = kP0 * p2;
  static constexpr double kQ0 = 0.5 / (double{q2} * (q2 - p2)), kQ1 = kQ0 * q1, kQ2 = kQ0 * q2;
  static constexpr double kWeights[6][3] = {{kZero, 0, 0},   {kP0, kP1, kP2},  {kP0, -kP1, kP2},
                                            {kQ0, kQ1, kQ2}, {kQ0, -kQ1, kQ2}, {0, 0, 1}};

  static __m512 all(float value) { return _mm512_set1_ps(value); }

  // Row of a point a: the coefficients of x (x^2 - p^2) (x^2 - q^2) / (x - a), and of the whole for infinity.
  static void transform(const __m512 (&d)[6], __m512 (&to)[6]) {
    to[0] = _mm512_fmadd_ps(all(p2 * q2), d[0], _mm512_fnmadd_ps(all(p2 + q2), d[2], d[4]));
    to[5] = _mm512_fmadd_ps(all(p2 * q2), d[1], _mm512_fnmadd_ps(all(p2 + q2), d[3], d[5]));
    const __m512 even_p = _mm512_fnmadd_ps(all(q2), d[2], d[4]), odd_p = _mm512_fnmadd_ps(all(q2), d[1], d[3]);
    to[1] = _mm512_fmadd_ps(all(p1), odd_p, even_p);
    to[2] = _mm512_fnmadd_ps(all(p1), odd_p, even_p);
    const __m512 even_q = _mm512_fnmadd_ps(all(p2), d[2], d[4]), odd_q = _mm512_fnmadd_ps(all(p2), d[1], d[3]);
    to[3] = _mm512_fmadd_ps(all(q1), odd_q, even_q);
    to[4] = _mm512_fnmadd_ps(all(q1), odd_q, even_q);
  }

  // Row i: the points' i-th powers; infinity counts in the last.
  static void gather(const __m512 (&m)[6], __m512 (&to)[4]) {
    const __m512 even_p = _mm512_add_ps(m[1], m[2]), odd_p = _mm512_sub_ps(m[1], m[2]);
    const __m512 even_q = _mm512_add_ps(m[3], m[4]), odd_q = _mm512_sub_ps(m[3], m[4]);
    to[0] = _mm512_add_ps(m[0], _mm512_add_ps(even_p, even_q));
    to[1] = _mm512_fmadd_ps(all(p1), odd_p, _mm512_mul_ps(all(q1), odd_q));
    to[2] = _mm512_fmadd_ps(all(p2), even_p, _mm512_mul_ps(all(q2), even_q));
    to[3] = _mm512_fmadd_ps(all(p3), odd_p, _mm512_fmadd_ps(all(q3), odd_q, m[5]));
  }
};
#endif

template <int Tile, bool Whole>
void patch_of(const WinogradPatch& p) {
  constexpr int kSize = Tile + 2;
  const auto* picture = static_cast<const Element*>(p.picture);
  for (int64_t b = 0; b < p.blocks; ++b) {
    const int64_t first = p.first + b * p.pitch.block;
    __m512 turned[kSize][kSize];  // by column, then row
    for (int c = 0; c < kSize; ++c) {
      __m512 d[kSize];
      for (int r = 0; r < kSize; ++r) {
        const int64_t at = first + r * p.pitch.row + c * p.pitch.pixel;
        const bool inside = Whole || ((p.rows >> r & 1) != 0 && (p.columns >> c & 1) != 0);
        d[r] = inside ? load(picture + at) : _mm512_setzero_ps();
      }
      Form<Tile>::transform(d, turned[c]);
    }
    Element* to = static_cast<Element*>(p.to) + b * kWinogradBlock;
    for (int r = 0; r < kSize; ++r) {
      __m512 row[kSize], points[kSize];
      for (int c = 0; c < kSize; ++c) row[c] = turned[c][r];
      Form<Tile>::transform(row, points);
      for (int c = 0; c < kSize; ++c) store(to + (kSize * r + c) * p.point, points[c]);
    }
  }
}

template <int Tile>
void patch(const WinogradPatch& p) {
  constexpr unsigned kAll = (1U << (Tile + 2)) - 1;
  const bool whole = p.rows == kAll && p.columns == kAll;
  whole ? patch_of<Tile, true>(p) : patch_of<Tile, false>(p);
}

template <int Rows>
void product_of(const WinogradProduct& p, const Element* a, float* out) {
  __m512 sums[Rows][2];
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  const auto* panel = static_cast<const float*>(p.panel);  // as many bytes for pairs of bf16
  const float* next = panel + p.depth / kPairs * kWinogradColumns;
  for (int64_t i = 0; i < p.depth; i += kPairs, panel += kWinogradColumns, next += kWinogradColumns) {
    _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(next + 16), _MM_HINT_T0);
    const __m512 low = _mm512_loadu_ps(panel), high = _mm512_loadu_ps(panel + 16);
    for (int r = 0; r < Rows; ++r) {
      const __m512 value = spread(a + r * p.a_row + i);
      sums[r][0] = add_product(sums[r][0], value, low);
      sums[r][1] = add_product(sums[r][1], value, high);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(out + r * kWinogradColumns, sums[r][0]);
    _mm512_storeu_ps(out + r * kWinogradColumns + 16, sums[r][1]);
  }
}

template <int Rows>
void product_of_rows(const WinogradProduct& p, int64_t rows, const Element* a, float* out) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return product_of<Rows>(p, a, out);
    product_of_rows<Rows - 1>(p, rows, a, out);
  }
}

// In groups of nearly the same number of rows.
void product(const WinogradProduct& p) {
  const int64_t groups = (p.rows + kWinogradRows - 1) / kWinogradRows;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = p.rows * g / groups, rows = p.rows * (g + 1) / groups - first;
    const Element* a = static_cast<const Element*>(p.a) + first * p.a_row;
    product_of_rows<kWinogradRows>(p, rows, a, p.out + first * kWinogradColumns);
  }
}

template <int Tile, bool Whole>
void result_of(const WinogradResult& p) {
  constexpr int kSize = Tile + 2;
  const __m512 least = _mm512_set1_ps(p.least), most = _mm512_set1_ps(p.most);
  for (int b = 0; b < p.blocks; ++b) {
    __m512 gathered[kSize][Tile];  // by column, then row
    for (int c = 0; c < kSize; ++c) {
      __m512 m[kSize];
      for (int r = 0; r < kSize; ++r) m[r] = _mm512_loadu_ps(p.sums + (kSize * r + c) * p.point + b * kWinogradBlock);
      Form<Tile>::gather(m, gathered[c]);
    }
    const __m512 bias = _mm512_loadu_ps(p.bias + b * kWinogradBlock);
    for (int r = 0; r < Tile; ++r) {
      if (!Whole && r >= p.rows) break;
      __m512 row[kSize], results[Tile];
      for (int c = 0; c < kSize; ++c) row[c] = gathered[c][r];
      Form<Tile>::gather(row, results);
      for (int c = 0; c < Tile; ++c) {
        if (!Whole && c >= p.columns) break;
        const int64_t at = b * p.pitch.block + r * p.pitch.row + c * p.pitch.pixel;
        __m512 y = _mm512_add_ps(results[c], bias);
        if (p.addend != nullptr) y = _mm512_add_ps(y, load(static_cast<const Element*>(p.addend) + at));
        // Of operands that are no numbers these give the second.
        store(static_cast<Element*>(p.to) + at, _mm512_min_ps(most, _mm512_max_ps(least, y)));
      }
    }
  }
}

template <int Tile>
void result(const WinogradResult& p) {
  const bool whole = p.rows == Tile && p.columns == Tile;
  whole ? result_of<Tile, true>(p) : result_of<Tile, false>(p);
}

template <int Tile>
constexpr WinogradLoops kLoops = {Tile, kPairs, Form<Tile>::kWeights, patch<Tile>, product, result<Tile>};

}  // namespace

#ifdef MOTET_WINOGRAD_BF16
extern const WinogradLoops kBf16WinogradLoops;
const WinogradLoops kBf16WinogradLoops = kLoops<2>;
#else
extern const WinogradLoops kF32WinogradLoops[2];
const WinogradLoops kF32WinogradLoops[2] = {kLoops<2>, kLoops<4>};
#endif

}  // namespace motet::ops::vec
