// Compiled with AVX-512, once for f32 and once, with MOTET_TILE_BF16, for bf16. To keep this build's code out of
// another's, it includes no header with inline functions beyond tile.h.
#include "compute/ops/vector/tile.h"

#ifdef MOTET_TILE_BF16
#include <immintrin.h>
#endif

namespace motet::ops::vec {
namespace {

// With the alignment of a float, so that any row can be loaded.
typedef float Vector __attribute__((vector_size(64), aligned(4), may_alias));
static_assert(kPanel == 3 * 16);

// What lies side by side in a lane, and one lane's worth of a panel's row.
#ifdef MOTET_TILE_BF16
using Element = uint16_t;
constexpr int64_t kStep = 2;
typedef int Pair __attribute__((aligned(2), may_alias));

inline Vector add_product(Vector sum, const Element* a, Vector row) {
  const __m512i pair = _mm512_set1_epi32(*reinterpret_cast<const Pair*>(a));
  return reinterpret_cast<Vector>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(pair),
                                                   reinterpret_cast<__m512bh>(row)));
}
#else
using Element = float;
constexpr int64_t kStep = 1;

inline Vector add_product(Vector sum, const Element* a, Vector row) { return sum + *a * row; }
#endif

constexpr int64_t kGroup = 8 * kStep;  // of the depth, between two requests for what comes next

template <int Rows, int kVectors>
void product(const ProductTile& t) {
  Vector sum[Rows][kVectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = t.bias != nullptr ? *reinterpret_cast<const Vector*>(t.bias + v * 16) : Vector{};
  const auto* a = static_cast<const Element*>(t.a);
  const auto* b = static_cast<const float*>(t.panel);  // as many bytes a lane for pairs of bf16
  const auto* ahead = static_cast<const char*>(t.ahead);
  const int64_t groups = (t.depth + kGroup - 1) / kGroup, lines = (t.ahead_lines + groups - 1) / groups;
  for (int64_t first = 0; first < t.depth; first += kGroup) {
    for (int64_t line = 0; line < lines; ++line, ahead += 64) __builtin_prefetch(ahead, 0, 2);
    const int64_t end = first + kGroup < t.depth ? first + kGroup : t.depth;
    for (int64_t i = first; i < end; i += kStep, b += kPanel) {
      Vector row[kVectors];
      for (int v = 0; v < kVectors; ++v) row[v] = *reinterpret_cast<const Vector*>(b + v * 16);
      for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < kVectors; ++v) sum[r][v] = add_product(sum[r][v], a + r * t.a_row + i, row[v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<Vector*>(t.out + r * t.out_row + v * 16) = sum[r][v];
}

template <int kVectors>
void product_of_rows(const ProductTile& tile) {
  switch (tile.rows) {
    case 8: return product<8, kVectors>(tile);
    case 7: return product<7, kVectors>(tile);
    case 6: return product<6, kVectors>(tile);
    case 5: return product<5, kVectors>(tile);
    case 4: return product<4, kVectors>(tile);
    case 3: return product<3, kVectors>(tile);
    case 2: return product<2, kVectors>(tile);
    default: return product<1, kVectors>(tile);
  }
}

}  // namespace

#ifdef MOTET_TILE_BF16
void tile_product_bf16(const ProductTile& tile);
void tile_product_bf16(const ProductTile& tile) {
#else
void tile_product_f32(const ProductTile& tile);
void tile_product_f32(const ProductTile& tile) {
#endif
  switch (tile.columns) {
    case 16: return product_of_rows<1>(tile);
    case 32: return product_of_rows<2>(tile);
    default: return product_of_rows<3>(tile);
  }
}

}  // namespace motet::ops::vec
