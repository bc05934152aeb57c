// Compiled with AVX512_BF16. To keep this build's code out of another's, it includes no header with inline functions
// beyond winograd.h.
#include <immintrin.h>

#include "compute/ops/vector/winograd.h"

namespace motet::ops::vec {
namespace {

inline __m512 load(const uint16_t* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void store(uint16_t* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

// B^T d, with B as in the paper.
inline void transform(const __m512 (&d)[4], __m512 (&to)[4]) {
  to[0] = _mm512_sub_ps(d[0], d[2]);
  to[1] = _mm512_add_ps(d[1], d[2]);
  to[2] = _mm512_sub_ps(d[2], d[1]);
  to[3] = _mm512_sub_ps(d[1], d[3]);
}

template <bool Whole>
void patch_of(const WinogradPatch& p) {
  for (int64_t b = 0; b < p.blocks; ++b) {
    const int64_t first = p.first + b * p.pitch.block;
    __m512 turned[4][4];  // by column, then row
    for (int c = 0; c < 4; ++c) {
      __m512 d[4];
      for (int r = 0; r < 4; ++r) {
        const int64_t at = first + r * p.pitch.row + c * p.pitch.pixel;
        d[r] = Whole || (p.inside >> (4 * r + c) & 1) != 0 ? load(p.picture + at) : _mm512_setzero_ps();
      }
      transform(d, turned[c]);
    }
    uint16_t* to = p.to + b * kWinogradBlock;
    for (int r = 0; r < 4; ++r) {
      const __m512 row[4] = {turned[0][r], turned[1][r], turned[2][r], turned[3][r]};
      __m512 points[4];
      transform(row, points);
      for (int c = 0; c < 4; ++c) store(to + (4 * r + c) * p.point, points[c]);
    }
  }
}

void patch(const WinogradPatch& p) { p.inside == 0xffff ? patch_of<true>(p) : patch_of<false>(p); }

typedef int Pair __attribute__((aligned(2), may_alias));

template <int Rows>
void product_of(const WinogradProduct& p, const uint16_t* a, float* out) {
  __m512 sums[Rows][2];
  for (int r = 0; r < Rows; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  const uint16_t* panel = p.panel;
  const uint16_t* next = panel + p.depth * kWinogradColumns;
  for (int64_t i = 0; i < p.depth; i += 2, panel += 64, next += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    _mm_prefetch(reinterpret_cast<const char*>(next + 32), _MM_HINT_T1);
    const __m512bh low = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel));
    const __m512bh high = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + 32));
    for (int r = 0; r < Rows; ++r) {
      const auto pair =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(*reinterpret_cast<const Pair*>(a + r * p.a_row + i)));
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pair, low);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pair, high);
    }
  }
  for (int r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(out + r * kWinogradColumns, sums[r][0]);
    _mm512_storeu_ps(out + r * kWinogradColumns + 16, sums[r][1]);
  }
}

template <int Rows>
void product_of_rows(const WinogradProduct& p, int64_t rows, const uint16_t* a, float* out) {
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
    product_of_rows<kWinogradRows>(p, rows, p.a + first * p.a_row, p.out + first * kWinogradColumns);
  }
}

// A^T m, with A as in the paper.
inline void gather(const __m512 (&m)[4], __m512 (&to)[2]) {
  to[0] = _mm512_add_ps(_mm512_add_ps(m[0], m[1]), m[2]);
  to[1] = _mm512_sub_ps(_mm512_sub_ps(m[1], m[2]), m[3]);
}

void result(const WinogradResult& p) {
  const __m512 least = _mm512_set1_ps(p.least), most = _mm512_set1_ps(p.most);
  for (int b = 0; b < p.blocks; ++b) {
    __m512 gathered[4][2];  // by column, then row
    for (int c = 0; c < 4; ++c) {
      __m512 m[4];
      for (int r = 0; r < 4; ++r) m[r] = _mm512_loadu_ps(p.sums + (4 * r + c) * p.point + b * kWinogradBlock);
      gather(m, gathered[c]);
    }
    const __m512 bias = _mm512_loadu_ps(p.bias + b * kWinogradBlock);
    for (int r = 0; r < p.rows; ++r) {
      const __m512 row[4] = {gathered[0][r], gathered[1][r], gathered[2][r], gathered[3][r]};
      __m512 results[2];
      gather(row, results);
      for (int c = 0; c < p.columns; ++c) {
        const int64_t at = b * p.pitch.block + r * p.pitch.row + c * p.pitch.pixel;
        __m512 y = _mm512_add_ps(results[c], bias);
        if (p.addend != nullptr) y = _mm512_add_ps(y, load(p.addend + at));
        // Of operands that are no numbers these give the second.
        store(p.to + at, _mm512_min_ps(most, _mm512_max_ps(least, y)));
      }
    }
  }
}

}  // namespace

extern const WinogradLoops kBf16WinogradLoops;
const WinogradLoops kBf16WinogradLoops = {patch, product, result};

}  // namespace motet::ops::vec
