#include "compute/prep/resize.h"

#include <algorithm>
#include <cmath>

namespace motet::prep {

namespace {

double triangle(double x) {
  x = std::fabs(x);
  return x < 1 ? 1 - x : 0;
}

// Keys (1981) with a = -0.5, as Pillow has it.
double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0;
}

// One output pixel's window on a line of input pixels.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

std::vector<Taps> plan(int in, double begin, double length, int out, Filter filter) {
  double scale = length / out;
  bool widen = filter == Filter::kBilinear || filter == Filter::kBicubic;
  double stretch = widen ? std::max(1.0, scale) : 1.0;
  double support = (filter == Filter::kBicubic ? 2.0 : 1.0) * stretch;
  std::vector<Taps> all(static_cast<size_t>(out));
  for (int o = 0; o < out; ++o) {
    Taps& taps = all[static_cast<size_t>(o)];
    double center = begin + (o + 0.5) * scale;
    if (filter == Filter::kNearest) {
      taps.first = std::clamp(static_cast<int>(std::floor(center)), 0, in - 1);
      taps.weights = {1};
      continue;
    }
    if (filter == Filter::kPlain) {
      double at = std::clamp(center - 0.5, 0.0, static_cast<double>(in - 1));
      taps.first = std::min(static_cast<int>(at), std::max(0, in - 2));
      auto share = static_cast<float>(at - taps.first);
      taps.weights = in == 1 ? std::vector<float>{1} : std::vector<float>{1 - share, share};
      continue;
    }
    taps.first = std::max(0, static_cast<int>(std::floor(center - support + 0.5)));
    int last = std::min(in, static_cast<int>(std::floor(center + support + 0.5)));
    double sum = 0;
    std::vector<double> weights;
    for (int i = taps.first; i < last; ++i) {
      double x = (i - center + 0.5) / stretch;
      weights.push_back(filter == Filter::kBicubic ? cubic(x) : triangle(x));
      sum += weights.back();
    }
    for (double w : weights) taps.weights.push_back(static_cast<float>(w / sum));
  }
  return all;
}

uint8_t to_byte(float v) { return static_cast<uint8_t>(std::clamp(v + 0.5F, 0.0F, 255.0F)); }

}  // namespace

std::optional<Filter> filter_from_name(std::string_view name) {
  if (name == "nearest") return Filter::kNearest;
  if (name == "plain") return Filter::kPlain;
  if (name == "bilinear") return Filter::kBilinear;
  if (name == "bicubic") return Filter::kBicubic;
  return std::nullopt;
}

Image resize(const Image& image, const Region& region, int width, int height, Filter filter) {
  MOTET_CHECK(region.width > 0 && region.height > 0 && width >= 1 && height >= 1, "something is resized to something");
  int c = image.channels;
  std::vector<Taps> columns = plan(image.width, region.left, region.width, width, filter);
  std::vector<Taps> rows = plan(image.height, region.top, region.height, height, filter);
  // Horizontally first, only the rows that are needed, and rounded to bytes in between, as Pillow does.
  int top = rows.front().first;
  int bottom = top;
  for (const Taps& taps : rows) {
    top = std::min(top, taps.first);
    bottom = std::max(bottom, taps.first + static_cast<int>(taps.weights.size()));
  }
  Image narrow{width, bottom - top, c,
               std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>((bottom - top) * c))};
  for (int y = top; y < bottom; ++y) {
    for (int x = 0; x < width; ++x) {
      const Taps& taps = columns[static_cast<size_t>(x)];
      for (int k = 0; k < c; ++k) {
        float sum = 0;
        for (size_t t = 0; t < taps.weights.size(); ++t)
          sum += taps.weights[t] * image.at(taps.first + static_cast<int>(t), y)[k];
        narrow.at(x, y - top)[k] = to_byte(sum);
      }
    }
  }
  Image out{width, height, c,
            std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) * static_cast<size_t>(c))};
  for (int y = 0; y < height; ++y) {
    const Taps& taps = rows[static_cast<size_t>(y)];
    for (int x = 0; x < width; ++x) {
      for (int k = 0; k < c; ++k) {
        float sum = 0;
        for (size_t t = 0; t < taps.weights.size(); ++t)
          sum += taps.weights[t] * narrow.at(x, taps.first - top + static_cast<int>(t))[k];
        out.at(x, y)[k] = to_byte(sum);
      }
    }
  }
  return out;
}

}  // namespace motet::prep
