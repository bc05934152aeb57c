#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "compute/prep/outputs.h"

namespace motet::prep {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// By score; what breaks ties only has to be the same every time.
bool better(const Box& a, const Box& b) {
  if (a.label.score != b.label.score) return a.label.score > b.label.score;
  return std::tie(a.label.index, a.left, a.top, a.right, a.bottom) <
         std::tie(b.label.index, b.left, b.top, b.right, b.bottom);
}

// A box in shares of the region that the model saw, as pixels of the photo, within it.
Box on_photo(const Context& context, Label label, double left, double top, double right, double bottom) {
  const Region& r = context.region;
  auto x = [&](double share) {
    return std::clamp(r.left + share * r.width, 0.0, static_cast<double>(context.photo.width));
  };
  auto y = [&](double share) {
    return std::clamp(r.top + share * r.height, 0.0, static_cast<double>(context.photo.height));
  };
  return {std::move(label), x(left), y(top), x(right), y(bottom)};
}

Findings finish(const OutputRecipe& recipe, const Context& context, std::vector<Box> boxes) {
  // Hostile or broken answers may hold nothing but boxes; suppression is quadratic.
  constexpr size_t kMostCandidates = 10'000;
  std::sort(boxes.begin(), boxes.end(), better);
  if (boxes.size() > kMostCandidates) boxes.resize(kMostCandidates);
  Findings findings;
  findings.boxes = suppress(std::move(boxes), recipe.iou);
  if (!context.photo.pixels.empty()) findings.image = draw_boxes(context.photo, findings.boxes);
  return findings;
}

}  // namespace

double intersection_over_union(const Box& a, const Box& b) {
  double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  double shared = width * height;
  double both = (a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - shared;
  return both > 0 ? shared / both : 0;
}

std::vector<Box> suppress(std::vector<Box> boxes, double most_iou) {
  std::sort(boxes.begin(), boxes.end(), better);
  std::vector<Box> kept;
  for (Box& box : boxes) {
    bool covered = std::any_of(kept.begin(), kept.end(), [&](const Box& winner) {
      return winner.label.index == box.label.index && intersection_over_union(winner, box) > most_iou;
    });
    if (!covered) kept.push_back(std::move(box));
  }
  return kept;
}

Result<Findings> find_ssd_boxes(const OutputRecipe& recipe, const Context& context,
                                std::span<const NamedTensor> outputs) {
  MOTET_ASSIGN(Numbers scores, read_output(outputs, recipe.scores_tensor.empty() ? "scores" : recipe.scores_tensor));
  MOTET_ASSIGN(Numbers boxes, read_output(outputs, recipe.boxes_tensor));
  bool sound = scores.shape.size() == 3 && boxes.shape.size() == 3 && scores.shape[0] == 1 && boxes.shape[0] == 1 &&
               boxes.shape[1] == scores.shape[1] && boxes.shape[2] == 4 && scores.shape[2] >= 1;
  if (!sound) {
    return invalid_argument("ssd-boxes reads scores [1,N,classes] and boxes [1,N,4]; the answer has " +
                            shape_to_string(scores.shape) + " and " + shape_to_string(boxes.shape));
  }
  std::vector<Box> found;
  auto classes = static_cast<size_t>(scores.shape[2]);
  for (size_t i = 0; i < static_cast<size_t>(scores.shape[1]); ++i) {
    const float* corner = boxes.values.data() + i * 4;
    bool finite =
        std::isfinite(corner[0]) && std::isfinite(corner[1]) && std::isfinite(corner[2]) && std::isfinite(corner[3]);
    for (size_t c = 0; c < classes && finite; ++c) {
      double score = scores.values[i * classes + c];
      if (static_cast<int>(c) == recipe.background || !(score > recipe.threshold)) continue;
      found.push_back(on_photo(context, make_label(recipe, static_cast<int>(c), score), corner[0], corner[1], corner[2],
                               corner[3]));
    }
  }
  return finish(recipe, context, std::move(found));
}

// dog-qiuqiu/FastestDet, example/onnx-runtime/runtime.py: planes are objectness, x, y, width, height, then one a class,
// on a grid.
Result<Findings> find_fastestdet(const OutputRecipe& recipe, const Context& context,
                                 std::span<const NamedTensor> outputs) {
  MOTET_ASSIGN(Numbers out, read_output(outputs, recipe.scores_tensor));
  if (out.shape.size() != 4 || out.shape[0] != 1 || out.shape[1] < 6) {
    return invalid_argument("fastestdet reads an output [1,5+classes,H,W]; '" + out.name + "' has the shape " +
                            shape_to_string(out.shape));
  }
  auto planes = static_cast<size_t>(out.shape[1]);
  auto rows = static_cast<size_t>(out.shape[2]);
  auto columns = static_cast<size_t>(out.shape[3]);
  std::vector<Box> found;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      auto at = [&](size_t plane) { return static_cast<double>(out.values[(plane * rows + row) * columns + column]); };
      size_t best = 5;
      for (size_t plane = 6; plane < planes; ++plane) {
        if (at(plane) > at(best)) best = plane;
      }
      double score = std::pow(std::max(0.0, at(0)), 0.6) * std::pow(std::max(0.0, at(best)), 0.4);
      if (!(score > recipe.threshold)) continue;
      double x = (static_cast<double>(column) + std::tanh(at(1))) / static_cast<double>(columns);
      double y = (static_cast<double>(row) + std::tanh(at(2))) / static_cast<double>(rows);
      double width = sigmoid(at(3));
      double height = sigmoid(at(4));
      if (!std::isfinite(x + y + width + height)) continue;
      found.push_back(on_photo(context, make_label(recipe, static_cast<int>(best - 5), score), x - width / 2,
                               y - height / 2, x + width / 2, y + height / 2));
    }
  }
  return finish(recipe, context, std::move(found));
}

Image draw_boxes(const Image& photo, std::span<const Box> boxes) {
  Image image = photo;
  int thickness = std::max(1, std::min(photo.width, photo.height) / 200);
  constexpr std::array<uint8_t, 3> kGreen{0, 220, 80};
  auto fill = [&](int left, int top, int right, int bottom) {
    for (int y = std::max(0, top); y < std::min(image.height, bottom); ++y) {
      for (int x = std::max(0, left); x < std::min(image.width, right); ++x)
        std::copy(kGreen.begin(), kGreen.end(), image.at(x, y));
    }
  };
  for (const Box& box : boxes) {
    auto [left, top, right, bottom] = std::array{static_cast<int>(box.left), static_cast<int>(box.top),
                                                 static_cast<int>(box.right), static_cast<int>(box.bottom)};
    fill(left, top, right, top + thickness);
    fill(left, bottom - thickness, right, bottom);
    fill(left, top, left + thickness, bottom);
    fill(right - thickness, top, right, bottom);
  }
  return image;
}

}  // namespace motet::prep
