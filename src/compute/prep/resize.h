// Resizing images. Any thread. The filters are Pillow's (src/libImaging/Resample.c): separable, wider when shrinking so
// that nothing aliases; kPlain is OpenCV's INTER_LINEAR and torch's interpolate(bilinear, antialias=False): four
// neighbours whatever the factor.
#pragma once

#include <optional>
#include <string_view>

#include "compute/prep/image.h"

namespace motet::prep {

enum class Filter : uint8_t { kNearest, kPlain, kBilinear, kBicubic };

// "nearest", "plain", "bilinear", "bicubic".
std::optional<Filter> filter_from_name(std::string_view name);

// The part of an image that is looked at, in its pixels.
struct Region {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
};

// `region` of `image` as an image of width x height. REQUIRES: region lies in the image and is not empty; width, height
// >= 1.
Image resize(const Image& image, const Region& region, int width, int height, Filter filter);

}  // namespace motet::prep
