// Matrix products of plain arrays on a team, for kernels of this room. Row-major with row pitches. No failure.
#pragma once

#include <cstdint>

#include "compute/device/team.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/vector/loops.h"

namespace motet::ops {

// c[m,n] = bias[n] + a[m,k] b[k,n] (+ c if accumulate); bias may be null.
template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc,
              const T* bias, bool accumulate, device::Team& team) {
  // Whole rows when there are many, else strips of columns as wide as a few registers.
  constexpr int64_t kStrip = 64;
  constexpr int64_t kWorkPerPart = 1 << 17;
  const bool by_rows = m >= n / kStrip;
  const int64_t units = by_rows ? m : (n + kStrip - 1) / kStrip;
  const int64_t unit_work = by_rows ? n * k : kStrip * m * k;
  team.for_range(
      units, unit_work > 0 ? (kWorkPerPart + unit_work - 1) / unit_work : units, [&](int64_t begin, int64_t end) {
        const int64_t r0 = by_rows ? begin : 0, r1 = by_rows ? end : m;
        const int64_t c0 = by_rows ? 0 : begin * kStrip, c1 = by_rows ? n : (end * kStrip < n ? end * kStrip : n);
        const T* strip_bias = bias == nullptr ? nullptr : bias + c0;
        if constexpr (std::is_same_v<T, float>) {
          vec::loops().gemm(r1 - r0, c1 - c0, k, a + r0 * lda, lda, b + c0, ldb, c + r0 * ldc + c0, ldc, strip_bias,
                            accumulate);
        } else {
          for (int64_t r = r0; r < r1; ++r) {
            T* row = c + r * ldc;
            for (int64_t j = c0; j < c1 && !accumulate; ++j) row[j] = strip_bias != nullptr ? strip_bias[j - c0] : T(0);
            for (int64_t i = 0; i < k; ++i) {
              const T scalar = a[r * lda + i];
              for (int64_t j = c0; j < c1; ++j)
                row[j] = static_cast<T>(wrap(row[j]) + wrap(scalar) * wrap(b[i * ldb + j]));
            }
          }
        }
      });
}

}  // namespace motet::ops
