// Moments of one row, and the row normalised by them: what layer, instance, group and RMS normalisation are made of.
// f32 goes through the vector loops, f64 through plain ones. n >= 1.
#pragma once

#include <cmath>
#include <cstdint>

#include "compute/ops/vector/loops.h"

namespace motet::ops {

template <class T>
T row_mean(const T* x, int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    return vec::loops().sum(x, n) / static_cast<float>(n);
  } else {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    return sum / static_cast<T>(n);
  }
}

// Mean of (x - mean)^2.
template <class T>
T row_variance(const T* x, int64_t n, T mean) {
  if constexpr (std::is_same_v<T, float>) {
    return vec::loops().squared_deviation(x, n, mean) / static_cast<float>(n);
  } else {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (x[i] - mean) * (x[i] - mean);
    return sum / static_cast<T>(n);
  }
}

// y = (x - mean) * scale * gamma + beta, gamma and beta per element or null (beta only with gamma).
template <class T>
void row_normalise(const T* x, T* y, int64_t n, T mean, T scale, const T* gamma, const T* beta) {
  if constexpr (std::is_same_v<T, float>) {
    vec::loops().normalise(x, y, n, mean, scale, gamma, beta);
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const T scaled = (x[i] - mean) * scale * (gamma != nullptr ? gamma[i] : T(1));
      y[i] = scaled + (beta != nullptr ? beta[i] : T(0));
    }
  }
}

// y = a x + b
template <class T>
void row_affine(const T* x, T* y, int64_t n, T a, T b) {
  if constexpr (std::is_same_v<T, float>) {
    vec::loops().unary(vec::Unary::kScaleShift, x, y, n, a, b);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = a * x[i] + b;
  }
}

}  // namespace motet::ops
