#include "compute/ops/resize/sampling.h"

#include <algorithm>
#include <cmath>

namespace motet::ops {
namespace {

// The input coordinate of output position x.
double coordinate(const std::string& mode, const SamplingAxis& a, int64_t x) {
  const auto at = static_cast<double>(x), in = static_cast<double>(a.in), out = static_cast<double>(a.out);
  if (mode == "asymmetric") return at / a.scale;
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5) / a.scale;
  // The resized length as the scale gives it, before rounding down.
  if (mode == "align_corners") return a.out == 1 ? 0 : at * (in - 1) / (a.scale * in - 1);
  if (mode == "pytorch_half_pixel") return a.out == 1 ? 0 : (at + 0.5) / a.scale - 0.5;
  if (mode == "tf_crop_and_resize") {
    if (a.out == 1) return 0.5 * (a.roi_begin + a.roi_end) * (in - 1);
    return a.roi_begin * (in - 1) + at * (a.roi_end - a.roi_begin) * (in - 1) / (out - 1);
  }
  if (mode == "half_pixel_symmetric") {
    const double adjustment = out / (a.scale * in);
    return in / 2 * (1 - adjustment) + (at + 0.5) / a.scale - 0.5;
  }
  return (at + 0.5) / a.scale - 0.5;
}

int64_t nearest_index(const std::string& mode, double x) {
  if (mode == "floor") return static_cast<int64_t>(std::floor(x));
  if (mode == "ceil") return static_cast<int64_t>(std::ceil(x));
  if (mode == "round_prefer_ceil") return static_cast<int64_t>(std::floor(x + 0.5));
  return static_cast<int64_t>(std::ceil(x - 0.5));
}

// Keys, "Cubic convolution interpolation for digital image processing" (1981), equation 15.
double cubic(double a, double x) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

}  // namespace

Samples samples_of(const SamplingRule& rule, const SamplingAxis& axis) {
  Samples s;
  const bool nearest = rule.mode == "nearest";
  // Antialiasing widens the filter by the factor by which the image shrinks.
  const double shrink = rule.antialias && !nearest ? std::min(1.0, axis.scale) : 1.0;
  const double reach = rule.mode == "cubic" ? 2 : 1;
  const auto first = nearest ? 0 : static_cast<int64_t>(std::floor(-reach / shrink)) + 1;
  s.taps = nearest ? 1 : 2 - 2 * first;
  for (int64_t x = 0; x < axis.out; ++x) {
    const double at = coordinate(rule.coordinates, axis, x);
    s.outside.push_back(rule.coordinates == "tf_crop_and_resize" && (at < 0 || at > static_cast<double>(axis.in - 1)));
    if (nearest) {
      s.index.push_back(std::clamp<int64_t>(nearest_index(rule.nearest, at), 0, axis.in - 1));
      s.weight.push_back(1);
      continue;
    }
    // A whole number belongs to the interval below it, so that a widened filter lies as the specification's does.
    const double base = std::ceil(at) - 1;
    double total = 0;
    const size_t begin = s.weight.size();
    for (int64_t k = 0; k < s.taps; ++k) {
      const int64_t index = static_cast<int64_t>(base) + first + k;
      const double distance = (static_cast<double>(first + k) - (at - base)) * shrink;
      double weight = rule.mode == "cubic" ? cubic(rule.cubic_a, distance) : std::max(0.0, 1 - std::abs(distance));
      if (rule.exclude_outside && (index < 0 || index >= axis.in)) weight = 0;
      s.index.push_back(std::clamp<int64_t>(index, 0, axis.in - 1));
      s.weight.push_back(weight);
      total += weight;
    }
    if (total != 0 && (rule.exclude_outside || shrink < 1)) {
      for (size_t i = begin; i < s.weight.size(); ++i) s.weight[i] /= total;
    }
  }
  return s;
}

bool known_coordinates(const std::string& name) {
  return name == "half_pixel" || name == "half_pixel_symmetric" || name == "pytorch_half_pixel" ||
         name == "align_corners" || name == "asymmetric" || name == "tf_half_pixel_for_nn" ||
         name == "tf_crop_and_resize";
}

bool known_nearest(const std::string& name) {
  return name == "round_prefer_floor" || name == "round_prefer_ceil" || name == "floor" || name == "ceil";
}

}  // namespace motet::ops
