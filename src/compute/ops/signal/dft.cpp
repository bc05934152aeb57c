// DFT and STFT, computed in double precision from a table of roots of unity.
#include <cmath>
#include <numbers>

#include "compute/ops/signal/signal.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

constexpr int64_t kLongest = int64_t{1} << 20;  // of a transform: the table has two doubles for each

struct Roots {
  std::vector<double> cosine, sine;
  explicit Roots(int64_t n, bool inverse) {
    for (int64_t k = 0; k < n; ++k) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
      cosine.push_back(std::cos(angle));
      sine.push_back(inverse ? std::sin(angle) : -std::sin(angle));
    }
  }
};

struct Complex {
  double real = 0, imaginary = 0;
};

// Bin k of the transform of n points, point(j) for j < given and zero beyond.
template <class Point>
Complex bin(const Roots& roots, int64_t n, int64_t given, int64_t k, Point&& point) {
  Complex sum;
  for (int64_t j = 0; j < given; ++j) {
    const Complex p = point(j);
    // k and j are below 2^20: their product fits.
    const auto at = static_cast<size_t>(k * j % n);
    sum.real += p.real * roots.cosine[at] - p.imaginary * roots.sine[at];
    sum.imaginary += p.real * roots.sine[at] + p.imaginary * roots.cosine[at];
  }
  return sum;
}

struct Transform {
  int64_t outer, inner;  // around the axis, without the last dimension
  int64_t in, out, n;    // points given, bins made, length of the transform
  int64_t in_parts, out_parts;
  bool inverse, from_half;
};

template <class T>
KernelPtr dft_kernel(const Transform& t) {
  return make_kernel([t, roots = Roots(t.n, t.inverse)](const KernelArgs& args, device::Team& team) {
    const T* x = input_data<T>(args, 0);
    T* y = output_data<T>(args, 0);
    team.for_range(t.outer * t.out * t.inner, std::max<int64_t>(1, kGrain / std::max<int64_t>(t.n, 1)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t r = begin; r < end; ++r) {
                       const int64_t i = r % t.inner, k = r / t.inner % t.out, o = r / t.inner / t.out;
                       auto given = [&](int64_t j) {
                         const T* p = x + ((o * t.in + j) * t.inner + i) * t.in_parts;
                         return Complex{static_cast<double>(p[0]), t.in_parts == 2 ? static_cast<double>(p[1]) : 0};
                       };
                       // The inverse of half a spectrum: the other half is its mirror image, conjugated.
                       auto point = [&](int64_t j) {
                         if (!t.from_half || j <= t.n / 2) {
                           if (j >= t.in) return Complex{};
                           Complex p = given(j);
                           const bool own_mirror = j == 0 || 2 * j == t.n;
                           if (t.from_half && own_mirror) p.imaginary = 0;
                           return p;
                         }
                         if (t.n - j >= t.in) return Complex{};
                         Complex p = given(t.n - j);
                         p.imaginary = -p.imaginary;
                         return p;
                       };
                       Complex value = bin(roots, t.n, t.from_half ? t.n : std::min(t.in, t.n), k, point);
                       if (t.inverse) {
                         value.real /= static_cast<double>(t.n);
                         value.imaginary /= static_cast<double>(t.n);
                       }
                       y[r * t.out_parts] = static_cast<T>(value.real);
                       if (t.out_parts == 2) y[r * t.out_parts + 1] = static_cast<T>(value.imaginary);
                     }
                   });
  });
}

Result<int64_t> whole_number(const NodeRequest& request, size_t i, std::string_view what) {
  MOTET_ASSIGN(std::vector<int64_t> values, constant_ints(request, i, what));
  if (values.size() != 1) return unsupported(std::string(what) + " is " + describe(request.inputs[i]));
  return values[0];
}

}  // namespace

Result<KernelPtr> plan_dft(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 3));
  const TensorSpec& in = request.inputs[0];
  const size_t rank = in.shape.size();
  if (rank < 2 || in.shape.back() < 1 || in.shape.back() > 2)
    return unsupported("of " + describe(in) + "; the last extent is 1 (real) or 2 (complex)");
  int64_t axis_told = request.node.int_or("axis", request.node.opset < 20 ? 1 : -2);
  if (has_input(request, 2)) {
    MOTET_ASSIGN(axis_told, whole_number(request, 2, "axis"));
  }
  MOTET_ASSIGN(const size_t axis, normalise_axis(axis_told, rank));
  if (axis + 1 == rank) return unsupported("along the last axis, which holds real and imaginary parts");
  Transform t{};
  t.inverse = request.node.int_or("inverse", 0) != 0;
  const bool one_sided = request.node.int_or("onesided", 0) != 0;
  t.from_half = t.inverse && one_sided;
  if (one_sided && !t.inverse && in.shape.back() == 2) return unsupported("one-sided, of complex numbers");
  t.in = in.shape[axis];
  t.in_parts = in.shape.back();
  t.out_parts = t.from_half ? 1 : 2;
  t.n = t.from_half ? 2 * (t.in - 1) : t.in;
  if (has_input(request, 1)) {
    MOTET_ASSIGN(t.n, whole_number(request, 1, "dft_length"));
  }
  if (t.n < 1 || t.n > kLongest)
    return unsupported("a transform of " + std::to_string(t.n) + " points; 1 to " + std::to_string(kLongest) +
                       " are possible");
  t.out = one_sided && !t.inverse ? t.n / 2 + 1 : t.n;
  t.outer = product(in.shape, 0, axis);
  t.inner = product(in.shape, axis + 1, rank - 1);
  Shape shape = in.shape;
  shape[axis] = t.out;
  shape.back() = t.out_parts;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  if (in.dtype == DType::kF32) return dft_kernel<float>(t);
  if (in.dtype == DType::kF64) return dft_kernel<double>(t);
  return unsupported("of " + describe(in));
}

namespace {

struct Frames {
  int64_t batch, length, parts;  // of the signal
  int64_t step, frames, n, bins;
  bool windowed;
};

template <class T>
KernelPtr stft_kernel(const Frames& f) {
  return make_kernel([f, roots = Roots(f.n, false)](const KernelArgs& args, device::Team& team) {
    const T* x = input_data<T>(args, 0);
    const T* window = f.windowed ? input_data<T>(args, 2) : nullptr;
    T* y = output_data<T>(args, 0);
    team.for_range(f.batch * f.frames * f.bins, std::max<int64_t>(1, kGrain / std::max<int64_t>(f.n, 1)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t r = begin; r < end; ++r) {
                       const int64_t k = r % f.bins, frame = r / f.bins % f.frames, b = r / f.bins / f.frames;
                       const Complex value = bin(roots, f.n, f.n, k, [&](int64_t j) {
                         const T* p = x + (b * f.length + frame * f.step + j) * f.parts;
                         const double w = window == nullptr ? 1 : static_cast<double>(window[j]);
                         return Complex{w * static_cast<double>(p[0]),
                                        f.parts == 2 ? w * static_cast<double>(p[1]) : 0};
                       });
                       y[2 * r] = static_cast<T>(value.real);
                       y[2 * r + 1] = static_cast<T>(value.imaginary);
                     }
                   });
  });
}

}  // namespace

Result<KernelPtr> plan_stft(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 4));
  const TensorSpec& in = request.inputs[0];
  const bool parted = in.shape.size() == 3;
  if (in.shape.size() < 2 || in.shape.size() > 3 || (parted && (in.shape[2] < 1 || in.shape[2] > 2)))
    return unsupported("of " + describe(in));
  Frames f{};
  f.batch = in.shape[0];
  f.length = in.shape[1];
  f.parts = parted ? in.shape[2] : 1;
  f.windowed = has_input(request, 2);
  MOTET_ASSIGN(f.step, whole_number(request, 1, "frame_step"));
  if (f.windowed && (request.inputs[2].dtype != in.dtype || request.inputs[2].shape.size() != 1))
    return unsupported("window is " + describe(request.inputs[2]));
  f.n = f.windowed ? request.inputs[2].shape[0] : f.length;
  if (has_input(request, 3)) {
    MOTET_ASSIGN(f.n, whole_number(request, 3, "frame_length"));
  }
  if (f.windowed && request.inputs[2].shape[0] != f.n)
    return unsupported("a window of " + std::to_string(request.inputs[2].shape[0]) + " for frames of " +
                       std::to_string(f.n));
  if (f.n < 1 || f.n > f.length || f.n > kLongest || f.step < 1)
    return unsupported("frames of " + std::to_string(f.n) + " every " + std::to_string(f.step) + " of a signal of " +
                       std::to_string(f.length));
  f.frames = (f.length - f.n) / f.step + 1;
  const bool one_sided = request.node.int_or("onesided", 1) != 0;
  if (one_sided && f.parts == 2) return unsupported("one-sided, of complex numbers");
  f.bins = one_sided ? f.n / 2 + 1 : f.n;
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, {f.batch, f.frames, f.bins, 2}));
  if (in.dtype == DType::kF32) return stft_kernel<float>(f);
  if (in.dtype == DType::kF64) return stft_kernel<double>(f);
  return unsupported("of " + describe(in));
}

}  // namespace motet::ops
