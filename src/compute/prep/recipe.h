// Recipe: how a file becomes a model's inputs and how its outputs read, from the `parameters` of the model's
// config.pbtxt. Keys begin with "recipe."; docs/recipes.md explains each. Without any, files are .npz archives of the
// model's own tensors. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "compute/prep/resize.h"

namespace motet::prep {

enum class InputKind : uint8_t { kTensors, kImage, kAudio, kBytes, kNumbers };
enum class OutputKind : uint8_t { kTensors, kClasses, kSsdBoxes, kFastestDet, kSpeech, kScore, kImageYcbcr };
enum class Color : uint8_t { kRgb, kBgr, kGray, kY };

struct ImageRecipe {
  int width = 0;  // 0: the model's
  int height = 0;
  Filter filter = Filter::kBilinear;
  double crop = 0;  // share of the greatest central region of the input's aspect; 0: the whole photo, stretched
  Color color = Color::kRgb;
  bool nhwc = false;
  bool invert = false;
  double scale = 1.0 / 255;  // value = (byte * scale - mean) / std
  std::vector<double> mean{0};
  std::vector<double> std{1};
};

struct AudioRecipe {
  int rate = 16000;
  int window = 0;           // new samples a call; 0: all at once
  int context = 0;          // samples of the window before, in front of the new ones
  std::string rate_tensor;  // input that takes the rate; empty: none
  std::vector<std::pair<std::string, std::string>>
      states;  // (input, output): the output of a call is the input of the next
};

struct BytesRecipe {
  int begin = 1024;  // bytes from the beginning and from the end of the file
  int end = 1024;
  int block = 4096;   // looked at on either side
  int padding = 256;  // where the file is shorter
  int least = 1;      // smallest file accepted
  bool strip = true;  // white space at either end does not count
};

struct OutputRecipe {
  OutputKind kind = OutputKind::kTensors;
  int top = 5;
  bool softmax = true;
  std::vector<std::string> labels;
  double threshold = 0.5;
  double iou = 0.45;
  int background = -1;        // a class that is no finding
  std::string scores_tensor;  // output that is read; empty: "scores" for ssd-boxes, else the first
  std::string boxes_tensor = "boxes";
  int min_speech_ms = 250;
  int min_silence_ms = 100;
  int pad_ms = 30;
};

struct Recipe {
  InputKind input = InputKind::kTensors;
  std::string tensor;  // the input that takes the data; empty: the first that nothing else fills
  ImageRecipe image;
  AudioRecipe audio;
  BytesRecipe bytes;
  OutputRecipe output;
};

// Reads the keys that begin with "recipe."; others are someone else's. An Error names the key, its value and what would
// be accepted.
Result<Recipe> parse_recipe(const std::map<std::string, std::string>& parameters);

// One name a line, or separated by '|'.
std::vector<std::string> parse_labels(std::string_view text);

}  // namespace motet::prep
