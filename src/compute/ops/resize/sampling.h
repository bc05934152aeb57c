// Where each output position of one axis samples its input, and with which weights: the arithmetic of ONNX's Resize.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace motet::ops {

// What one node asks for on every axis.
struct SamplingRule {
  std::string mode = "nearest";  // nearest, linear, cubic
  std::string coordinates = "half_pixel";
  std::string nearest = "round_prefer_floor";
  double cubic_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
};

// One axis: its extents, the scale as given (not out / in where scales were given), the region of interest.
struct SamplingAxis {
  int64_t in = 1, out = 1;
  double scale = 1;
  double roi_begin = 0, roi_end = 1;
};

struct Samples {
  int64_t taps = 1;
  std::vector<int64_t> index;  // [out, taps], each in [0, in)
  std::vector<double> weight;  // [out, taps]
  std::vector<bool> outside;   // [out]: takes the extrapolation value (tf_crop_and_resize)
};

// REQUIRES: in > 0; mode, coordinates and nearest are known names.
Samples samples_of(const SamplingRule& rule, const SamplingAxis& axis);

bool known_coordinates(const std::string& name);
bool known_nearest(const std::string& name);

}  // namespace motet::ops
