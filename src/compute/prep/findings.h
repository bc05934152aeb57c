// Findings: what a model's answer means, for people (text) and programs (JSON). Plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor/named.h"
#include "compute/prep/image.h"
#include "compute/prep/recipe.h"

namespace motet::prep {

struct Label {
  int index = 0;
  std::string name;  // "class 7" without labels
  double score = 0;
};

// Corners in pixels of the photo.
struct Box {
  Label label;
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
};

struct Segment {
  double begin_s = 0;
  double end_s = 0;
};

struct Findings {
  OutputKind kind = OutputKind::kTensors;
  std::vector<Label> labels;         // kClasses: best first
  std::vector<Box> boxes;            // best first
  std::vector<Segment> speech;       // in order of time
  std::vector<double> scores;        // kScore: one a row
  std::optional<Image> image;        // kImageYcbcr: the picture; boxes: the photo with them drawn
  std::vector<NamedTensor> tensors;  // kTensors
};

// A few lines, each ended.
std::string to_text(const Findings& findings);
// One JSON object, keys in a fixed order, scores with 6 significant digits; a tensor's elements are left out beyond
// 1000.
std::string to_json(const Findings& findings);

// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace motet::prep
