// Transforms by their definition, windows by their formula.
#include <complex>
#include <numbers>

#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

using Number = std::complex<double>;

Number root(int64_t power, int64_t n) {
  return std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(power) / static_cast<double>(n));
}

// x [2,n,1 or 2] along its middle axis.
void add_dft(Cases& cases, int64_t n, int64_t parts, bool one_sided, bool inverse) {
  const Array x = cases.array({2, n, parts});
  const int64_t bins = one_sided ? n / 2 + 1 : n;
  Array y = Array::filled({2, bins, 2}, 0);
  for_each_index({2, bins}, [&](const Shape& i) {
    Number sum;
    for (int64_t j = 0; j < n; ++j) {
      const Number point(x.at({i[0], j, 0}), parts == 2 ? x.at({i[0], j, 1}) : 0);
      sum += point * (inverse ? std::conj(root(i[1] * j, n)) : root(i[1] * j, n));
    }
    if (inverse) sum /= static_cast<double>(n);
    y.at({i[0], i[1], 0}) = sum.real();
    y.at({i[0], i[1], 1}) = sum.imag();
  });
  cases.add({.op = "DFT",
             .opset = 20,
             .attributes = {{"onesided", int64_t{one_sided}}, {"inverse", int64_t{inverse}}},
             .inputs = {f32_tensor(x)},
             .expected = y,
             .roundings = 4,
             .floor = 4.0 * static_cast<double>(n)});
}

// Half the spectrum of a real signal, and the signal back from it.
void add_inverse_of_half(Cases& cases, int64_t n) {
  const Array x = cases.array({1, n, 1});
  Array half = Array::filled({1, n / 2 + 1, 2}, 0);
  for (int64_t k = 0; k <= n / 2; ++k) {
    Number sum;
    for (int64_t j = 0; j < n; ++j) sum += x.at({0, j, 0}) * root(k * j, n);
    half.at({0, k, 0}) = static_cast<float>(sum.real());
    half.at({0, k, 1}) = static_cast<float>(sum.imag());
  }
  cases.add({.op = "DFT",
             .opset = 20,
             .attributes = {{"onesided", int64_t{1}}, {"inverse", int64_t{1}}},
             .inputs = {f32_tensor(half)},
             .expected = x,
             .roundings = 8,
             .floor = 8});
}

void add_stft(Cases& cases) {
  constexpr int64_t kLength = 21, kFrame = 8, kStep = 3, kFrames = (kLength - kFrame) / kStep + 1;
  const Array x = cases.array({2, kLength, 1}), window = cases.array({kFrame}, 0, 1);
  Array y = Array::filled({2, kFrames, kFrame / 2 + 1, 2}, 0);
  for_each_index({2, kFrames, kFrame / 2 + 1}, [&](const Shape& i) {
    Number sum;
    for (int64_t j = 0; j < kFrame; ++j)
      sum += x.at({i[0], i[1] * kStep + j, 0}) * window.at({j}) * root(i[2] * j, kFrame);
    y.at({i[0], i[1], i[2], 0}) = sum.real();
    y.at({i[0], i[1], i[2], 1}) = sum.imag();
  });
  cases.add({.op = "STFT",
             .inputs = {f32_tensor(x), scalar(DType::kI64, kStep), f32_tensor(window)},
             .constant = {false, true},
             .expected = y,
             .roundings = 4,
             .floor = 16});
}

void add_window(Cases& cases, const std::string& op, double a, double b, double c) {
  for (bool periodic : {true, false}) {
    Array y = Array::filled({11}, 0);
    for (int64_t i = 0; i < 11; ++i) {
      const double x = 2 * std::numbers::pi * static_cast<double>(i) / (periodic ? 11 : 10);
      y.at({i}) = a - b * std::cos(x) + c * std::cos(2 * x);
    }
    cases.add({.op = op,
               .attributes = {{"periodic", int64_t{periodic}}},
               .inputs = {scalar(DType::kI64, 11)},
               .constant = {true},
               .expected = y,
               .roundings = 2,
               .floor = 1});
  }
}

}  // namespace

void add_signal_cases(Cases& cases) {
  for (int64_t n : {1, 5, 8}) {
    add_dft(cases, n, 1, false, false);
    add_dft(cases, n, 1, true, false);
    add_dft(cases, n, 2, false, false);
    add_dft(cases, n, 2, false, true);
  }
  for (int64_t n : {2, 6, 16}) add_inverse_of_half(cases, n);
  add_stft(cases);
  add_window(cases, "HannWindow", 0.5, 0.5, 0);
  add_window(cases, "HammingWindow", 25.0 / 46, 21.0 / 46, 0);
  add_window(cases, "BlackmanWindow", 0.42, 0.5, 0.08);
  // From the ONNX specification's example: which band each bin of a spectrum of 16 belongs to.
  Array mel = Array::filled({9, 8}, 0);
  for (int64_t band = 0; band < 4; ++band) mel.at({band / 2, band}) = 1;
  for (int64_t band = 4; band < 8; ++band) mel.at({band - 2, band}) = 1;
  cases.add({.op = "MelWeightMatrix",
             .inputs = {scalar(DType::kI64, 8), scalar(DType::kI64, 16), scalar(DType::kI64, 8192),
                        scalar(DType::kF32, 0), scalar(DType::kF32, 4096)},
             .constant = {true, true, true, true, true},
             .expected = mel});
}

}  // namespace motet::ops::testing
