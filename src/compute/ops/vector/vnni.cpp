// ByteLoops for AVX512_VNNI. Compiled with its flags, and called only where the CPU has it: no header with inline
// functions but the intrinsics', and internal linkage but for the table.
#include "compute/ops/vector/int8.h"

#if defined(__AVX512VNNI__)
#include <immintrin.h>

namespace motet::ops::vec {
namespace {

constexpr int64_t kLanes = 16;

__mmask16 first_lanes(int64_t n) { return n >= kLanes ? 0xFFFF : static_cast<__mmask16>((1U << n) - 1U); }

Range range(const float* x, int64_t n) {
  __m512 least = _mm512_setzero_ps(), most = least, defects = least;  // x * 0 is NaN for what is not finite
  for (int64_t i = 0; i < n; i += kLanes) {
    const __m512 v = _mm512_maskz_loadu_ps(first_lanes(n - i), x + i);
    least = _mm512_min_ps(least, v);
    most = _mm512_max_ps(most, v);
    defects = _mm512_add_ps(defects, _mm512_mul_ps(v, _mm512_setzero_ps()));
  }
  const float defect = _mm512_reduce_add_ps(defects);
  return {_mm512_reduce_min_ps(least) + defect, _mm512_reduce_max_ps(most) + defect};
}

void quantise(const float* x, int64_t n, float scale, int32_t zero, uint8_t* bytes) {
  const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1.0F / scale : 0.0F),
               origin = _mm512_set1_ps(static_cast<float>(zero));
  const int64_t padded = quads_of(n) * kQuad;
  for (int64_t i = 0; i < padded; i += kLanes) {
    const __mmask16 valid = n > i ? first_lanes(n - i) : static_cast<__mmask16>(0);
    const __m512 v = _mm512_maskz_loadu_ps(valid, x + i);
    const __m512i number =
        _mm512_maskz_cvtps_epi32(valid, _mm512_add_ps(_mm512_roundscale_ps(_mm512_mul_ps(v, inverse), 8), origin));
    _mm512_mask_cvtusepi32_storeu_epi8(bytes + i, first_lanes(padded - i),
                                       _mm512_max_epi32(number, _mm512_setzero_si512()));
  }
}

// Rows x one panel, all of the depth, in registers.
template <int Rows>
inline void tile(const Int8Block& b, int64_t row, int64_t panel) {
  __m512i sum[Rows][2];
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  const int8_t* w = b.panels + panel * panel_bytes(b.depth);
  const uint8_t* x = b.bytes + row * b.x_row;
  const int64_t end = quads_of(b.depth) * kQuad;
  for (int64_t i = 0; i < end; i += kQuad, w += kInt8Columns * kQuad) {
    const __m512i left = _mm512_loadu_si512(w), right = _mm512_loadu_si512(w + 64);
    for (int r = 0; r < Rows; ++r) {
      int four;
      __builtin_memcpy(&four, x + r * b.x_row + i, sizeof four);
      const __m512i bytes = _mm512_set1_epi32(four);
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], bytes, left);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], bytes, right);
    }
  }
  for (int v = 0; v < 2; ++v) {
    const int64_t column = panel * kInt8Columns + v * kLanes;
    if (column >= b.columns) return;
    const __mmask16 valid = first_lanes(b.columns - column);
    const __m512 scales = _mm512_loadu_ps(b.scales + column);
    const __m512i sums = _mm512_loadu_si512(b.sums + column);
    const __m512 bias = b.bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(valid, b.bias + column);
    for (int r = 0; r < Rows; ++r) {
      const __m512i shifted =
          _mm512_sub_epi32(sum[r][v], _mm512_mullo_epi32(_mm512_set1_epi32(b.row_zeros[row + r]), sums));
      const __m512 unit = _mm512_mul_ps(_mm512_set1_ps(b.row_scales[row + r]), scales);
      _mm512_mask_storeu_ps(b.y + (row + r) * b.y_row + column, valid,
                            _mm512_fmadd_ps(_mm512_cvtepi32_ps(shifted), unit, bias));
    }
  }
}

void multiply(const Int8Block& b) {
  for (int64_t panel = 0; panel * kInt8Columns < b.columns; ++panel) {
    int64_t r = 0;
    for (; r + 12 <= b.rows; r += 12) tile<12>(b, r, panel);
    switch (b.rows - r) {
      case 11: tile<11>(b, r, panel); break;
      case 10: tile<10>(b, r, panel); break;
      case 9: tile<9>(b, r, panel); break;
      case 8: tile<8>(b, r, panel); break;
      case 7: tile<7>(b, r, panel); break;
      case 6: tile<6>(b, r, panel); break;
      case 5: tile<5>(b, r, panel); break;
      case 4: tile<4>(b, r, panel); break;
      case 3: tile<3>(b, r, panel); break;
      case 2: tile<2>(b, r, panel); break;
      case 1: tile<1>(b, r, panel); break;
      default: break;
    }
  }
}

}  // namespace

extern const ByteLoops kVnniLoops;
const ByteLoops kVnniLoops = {range, quantise, multiply};

}  // namespace motet::ops::vec
#endif
