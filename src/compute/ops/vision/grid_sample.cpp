// GridSample and AffineGrid. Coordinates run from -1 to 1 over a picture, the innermost extent first, as in PyTorch's
// GridSampler.h.
#include <algorithm>
#include <array>
#include <cmath>

#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"
#include "compute/ops/vision/vision.h"

namespace motet::ops {
namespace {

constexpr size_t kMostSpatial = 3;

enum class Padding : uint8_t { kZeros, kBorder, kReflection };

struct Sampler {
  int64_t batch = 0, channels = 0, points = 0;  // points: per picture
  size_t spatial = 0;
  std::array<int64_t, kMostSpatial> extents{}, strides{};
  int taps = 2;  // per axis: 1 nearest, 2 linear, 4 cubic
  Padding padding = Padding::kZeros;
  bool aligned = false;

  int64_t plane() const { return strides[0] * extents[0]; }
};

double reflect(double x, double low, double high) {
  const double range = high - low;
  if (range <= 0) return low;
  const double beyond = x < low ? low - x : x > high ? x - high : 0;
  if (beyond == 0) return x;
  const double turns = std::floor(beyond / range), rest = beyond - turns * range;
  const bool even = std::fmod(turns, 2) == 0;
  if (x < low) return even ? low + rest : high - rest;
  return even ? high - rest : low + rest;
}

// Where a tap falls along one axis, and its weight; -1: outside, where zeros are.
struct Tap {
  int64_t at = -1;
  double weight = 0;
};

class AxisTaps {
 public:
  AxisTaps(const Sampler& s, size_t axis, double coordinate) {
    const auto extent = static_cast<double>(s.extents[axis]);
    const double low = s.aligned ? 0 : -0.5, high = s.aligned ? extent - 1 : extent - 0.5;
    double x = s.aligned ? (coordinate + 1) / 2 * (extent - 1) : ((coordinate + 1) * extent - 1) / 2;
    if (s.taps == 1) x = std::nearbyint(x);
    // NaN and what no integer holds sample the first element, as a cast on the way there would.
    if (!(std::abs(x) < 1e15)) x = s.padding == Padding::kZeros ? -1e9 : 0;
    if (x < low || x > high) {
      if (s.padding == Padding::kBorder) x = std::clamp(x, 0.0, std::max(extent - 1, 0.0));
      if (s.padding == Padding::kReflection) x = reflect(x, low, high);
    }
    const double floor = std::floor(x);
    const auto first = static_cast<int64_t>(floor);
    const double t = x - floor;
    double weights[4] = {1, 0, 0, 0};
    if (s.taps == 2) {
      weights[0] = 1 - t;
      weights[1] = t;
    } else if (s.taps == 4) {
      cubic(t, weights);
    }
    for (int k = 0; k < s.taps; ++k)
      taps_[static_cast<size_t>(k)] = {place(s, axis, first + k - (s.taps == 4 ? 1 : 0), low, high), weights[k]};
  }
  const Tap& operator[](int k) const { return taps_[static_cast<size_t>(k)]; }

 private:
  // Keys' convolution kernel with a = -0.75 (IEEE TASSP 29(6), 1981).
  static void cubic(double t, double* w) {
    constexpr double a = -0.75;
    auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
    auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
    w[0] = far(t + 1);
    w[1] = near(t);
    w[2] = near(1 - t);
    w[3] = far(2 - t);
  }
  static int64_t place(const Sampler& s, size_t axis, int64_t i, double low, double high) {
    const int64_t extent = s.extents[axis];
    if (i >= 0 && i < extent) return i;
    switch (s.padding) {
      case Padding::kZeros: return -1;
      case Padding::kBorder: return std::clamp<int64_t>(i, 0, extent - 1);
      case Padding::kReflection:
        return std::clamp<int64_t>(static_cast<int64_t>(reflect(static_cast<double>(i), low, high)), 0, extent - 1);
    }
    return -1;
  }

  std::array<Tap, 4> taps_{};
};

template <class T>
void sample_point(const Sampler& s, const T* x, const T* grid, T* y) {
  std::array<AxisTaps, kMostSpatial> axes = {
      AxisTaps(s, 0, static_cast<double>(grid[s.spatial - 1])),
      s.spatial > 1 ? AxisTaps(s, 1, static_cast<double>(grid[s.spatial - 2])) : AxisTaps(s, 0, 0),
      s.spatial > 2 ? AxisTaps(s, 2, static_cast<double>(grid[s.spatial - 3])) : AxisTaps(s, 0, 0)};
  int total = 1;
  for (size_t a = 0; a < s.spatial; ++a) total *= s.taps;
  for (int64_t c = 0; c < s.channels; ++c) y[c * s.points] = 0;
  std::array<double, 64> weights{};
  std::array<int64_t, 64> places{};
  int used = 0;
  for (int tap = 0; tap < total; ++tap) {
    int rest = tap;
    double weight = 1;
    int64_t at = 0;
    for (size_t a = s.spatial; a-- > 0; rest /= s.taps) {
      const Tap& t = axes[a][rest % s.taps];
      weight *= t.weight;
      at = t.at < 0 || at < 0 ? -1 : at + t.at * s.strides[a];
    }
    if (at < 0) continue;
    weights[static_cast<size_t>(used)] = weight;
    places[static_cast<size_t>(used++)] = at;
  }
  for (int64_t c = 0; c < s.channels; ++c) {
    const T* from = x + c * s.plane();
    double sum = 0;
    for (size_t k = 0; k < static_cast<size_t>(used); ++k) sum += weights[k] * static_cast<double>(from[places[k]]);
    y[c * s.points] = static_cast<T>(sum);
  }
}

}  // namespace

Result<KernelPtr> plan_grid_sample(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& in = request.inputs[0];
  const TensorSpec& grid = request.inputs[1];
  const size_t rank = in.shape.size();
  Sampler s;
  s.spatial = rank < 3 ? 0 : rank - 2;
  const bool fits = s.spatial >= 1 && s.spatial <= kMostSpatial && grid.shape.size() == rank &&
                    grid.dtype == in.dtype && grid.shape[0] == in.shape[0] &&
                    grid.shape.back() == static_cast<int64_t>(s.spatial);
  if (!fits) return unsupported("of " + describe(in) + " at " + describe(grid));
  s.batch = in.shape[0];
  s.channels = in.shape[1];
  s.points = product(grid.shape, 1, rank - 1);
  const Shape strides = strides_of(in.shape);
  for (size_t a = 0; a < s.spatial; ++a) {
    s.extents[a] = in.shape[a + 2];
    s.strides[a] = strides[a + 2];
    if (s.extents[a] < 1) return unsupported("of " + describe(in));
  }
  const std::string mode = request.node.string_or("mode", "linear");
  s.taps = mode == "nearest"                        ? 1
           : mode == "linear" || mode == "bilinear" ? 2
           : mode == "cubic" || mode == "bicubic"   ? 4
                                                    : 0;
  const std::string padding = request.node.string_or("padding_mode", "zeros");
  s.padding = padding == "border" ? Padding::kBorder : padding == "reflection" ? Padding::kReflection : Padding::kZeros;
  if (s.taps == 0 || (s.padding == Padding::kZeros && padding != "zeros"))
    return unsupported("mode " + mode + " with padding " + padding);
  s.aligned = request.node.int_or("align_corners", 0) != 0;
  Shape shape = {s.batch, s.channels};
  shape.insert(shape.end(), grid.shape.begin() + 1, grid.shape.end() - 1);
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, shape));
  KernelPtr kernel;
  for_float_type(in.dtype, [&]<class T>(T) {
    kernel = make_kernel([s](const KernelArgs& args, device::Team& team) {
      const int64_t grain = std::max<int64_t>(1, kGrain / (8 * std::max<int64_t>(s.channels, 1)));
      team.for_range(s.batch * s.points, grain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t b = r / s.points, point = r % s.points;
          sample_point(s, input_data<T>(args, 0) + b * s.channels * s.plane(),
                       input_data<T>(args, 1) + r * static_cast<int64_t>(s.spatial),
                       output_data<T>(args, 0) + b * s.channels * s.points + point);
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(in));
  return kernel;
}

Result<KernelPtr> plan_affine_grid(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  const TensorSpec& theta = request.inputs[0];
  MOTET_ASSIGN(const std::vector<int64_t> size, constant_ints(request, 1, "size"));
  const size_t spatial = size.size() < 2 ? 0 : size.size() - 2;
  if (spatial < 2 || spatial > 3) return unsupported("a size of " + shape_to_string(size));
  const auto dims = static_cast<int64_t>(spatial);
  if (theta.shape != Shape{size[0], dims, dims + 1}) return unsupported("theta is " + describe(theta));
  MOTET_ASSIGN([[maybe_unused]] const int64_t count, checked_elements(size));
  Shape shape = {size[0]};
  shape.insert(shape.end(), size.begin() + 2, size.end());
  shape.push_back(dims);
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, theta.dtype, shape));
  const bool aligned = request.node.int_or("align_corners", 0) != 0;
  const int64_t points = product(size, 2, size.size());
  KernelPtr kernel;
  for_float_type(theta.dtype, [&]<class T>(T) {
    kernel = make_kernel([=](const KernelArgs& args, device::Team& team) {
      team.for_range(size[0] * points, kGrain / 16, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          double at[4] = {0, 0, 0, 1};  // the innermost extent first
          int64_t rest = r % points;
          for (size_t d = 0; d < spatial; ++d) {
            const int64_t extent = size[size.size() - 1 - d];
            const auto i = static_cast<double>(rest % extent), n = static_cast<double>(extent);
            at[d] = aligned ? (extent > 1 ? 2 * i / (n - 1) - 1 : -1) : (2 * i + 1) / n - 1;
            rest /= extent;
          }
          at[spatial] = 1;
          const T* row = input_data<T>(args, 0) + r / points * dims * (dims + 1);
          T* y = output_data<T>(args, 0) + r * dims;
          for (size_t d = 0; d < spatial; ++d, row += dims + 1) {
            double sum = 0;
            for (size_t k = 0; k <= spatial; ++k) sum += static_cast<double>(row[k]) * at[k];
            y[d] = static_cast<T>(sum);
          }
        }
      });
    });
  });
  if (kernel == nullptr) return unsupported("of " + describe(theta));
  return kernel;
}

}  // namespace motet::ops
