#include "compute/prep/recipe.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "compute/prep/audio.h"

namespace motet::prep {

namespace {

Error bad(const std::string& key, const std::string& value, const std::string& accepted) {
  return invalid_argument("parameter " + key + " is '" + value.substr(0, 60) + "'; accepted: " + accepted);
}

std::string_view trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    size_t end = text.find(separator);
    parts.push_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<double> plain_number(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// "0.5" or "1/255".
std::optional<double> number(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == std::string_view::npos) return plain_number(trim(text));
  std::optional<double> above = plain_number(trim(text.substr(0, slash)));
  std::optional<double> below = plain_number(trim(text.substr(slash + 1)));
  if (!above || !below || *below == 0) return std::nullopt;
  return *above / *below;
}

using Reader = Status (*)(const std::string& key, const std::string& value, Recipe& recipe);

Status read_double(const std::string& key, const std::string& value, double low, double high, double& to) {
  std::optional<double> v = number(value);
  if (!v || *v < low || *v > high)
    return bad(key, value, "a number from " + std::to_string(low) + " to " + std::to_string(high));
  to = *v;
  return {};
}

Status read_int(const std::string& key, const std::string& value, int low, int high, int& to) {
  int v = 0;
  std::string_view text = trim(value);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || v < low || v > high) {
    return bad(key, value, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  to = v;
  return {};
}

Status read_bool(const std::string& key, const std::string& value, bool& to) {
  std::string_view text = trim(value);
  if (text != "true" && text != "false") return bad(key, value, "true, false");
  to = text == "true";
  return {};
}

template <class T, size_t N>
Status read_word(const std::string& key, const std::string& value,
                 const std::array<std::pair<const char*, T>, N>& words, T& to) {
  std::string known;
  for (const auto& [word, meaning] : words) {
    if (trim(value) == word) {
      to = meaning;
      return {};
    }
    known += (known.empty() ? "" : ", ") + std::string(word);
  }
  return bad(key, value, known);
}

Status read_numbers(const std::string& key, const std::string& value, std::vector<double>& to) {
  std::vector<double> values;
  for (std::string_view part : split(value, ',')) {
    std::optional<double> v = number(part);
    if (!v) return bad(key, value, "numbers separated by commas, one or one a channel");
    values.push_back(*v);
  }
  if (values.size() != 1 && values.size() != 3) return bad(key, value, "one number, or three separated by commas");
  to = std::move(values);
  return {};
}

Status read_size(const std::string& key, const std::string& value, Recipe& recipe) {
  std::vector<std::string_view> sides = split(value, 'x');
  constexpr int kMostSide = 8192;
  if (sides.size() != 2 || !read_int(key, std::string(sides[0]), 1, kMostSide, recipe.image.width).ok() ||
      !read_int(key, std::string(sides[1]), 1, kMostSide, recipe.image.height).ok()) {
    return bad(key, value, "WIDTHxHEIGHT, each 1 to 8192");
  }
  return {};
}

Status read_std(const std::string& key, const std::string& value, Recipe& recipe) {
  MOTET_RETURN_IF_ERROR(read_numbers(key, value, recipe.image.std));
  for (double v : recipe.image.std) {
    if (v == 0) return bad(key, value, "numbers other than 0");
  }
  return {};
}

Status read_states(const std::string& key, const std::string& value, Recipe& recipe) {
  recipe.audio.states.clear();
  for (std::string_view pair : split(value, ',')) {
    std::vector<std::string_view> names = split(pair, ':');
    if (names.size() != 2 || names[0].empty() || names[1].empty())
      return bad(key, value, "INPUT:OUTPUT, several separated by commas");
    recipe.audio.states.emplace_back(names[0], names[1]);
  }
  return {};
}

constexpr std::array<std::pair<const char*, InputKind>, 5> kInputs{{{"tensors", InputKind::kTensors},
                                                                    {"image", InputKind::kImage},
                                                                    {"audio", InputKind::kAudio},
                                                                    {"bytes", InputKind::kBytes},
                                                                    {"numbers", InputKind::kNumbers}}};
constexpr std::array<std::pair<const char*, OutputKind>, 7> kOutputs{{{"tensors", OutputKind::kTensors},
                                                                      {"classes", OutputKind::kClasses},
                                                                      {"ssd-boxes", OutputKind::kSsdBoxes},
                                                                      {"fastestdet", OutputKind::kFastestDet},
                                                                      {"speech", OutputKind::kSpeech},
                                                                      {"score", OutputKind::kScore},
                                                                      {"image-ycbcr", OutputKind::kImageYcbcr}}};
constexpr std::array<std::pair<const char*, Color>, 4> kColors{
    {{"rgb", Color::kRgb}, {"bgr", Color::kBgr}, {"gray", Color::kGray}, {"y", Color::kY}}};
constexpr std::array<std::pair<const char*, Filter>, 4> kFilters{{{"bilinear", Filter::kBilinear},
                                                                  {"bicubic", Filter::kBicubic},
                                                                  {"plain", Filter::kPlain},
                                                                  {"nearest", Filter::kNearest}}};
constexpr std::array<std::pair<const char*, bool>, 2> kLayouts{{{"nchw", false}, {"nhwc", true}}};

constexpr int kMostCount = 1 << 24;
constexpr double kAny = 1e30;

using K = const std::string&;
const std::map<std::string, Reader>& readers() {
  static const auto& table = *new std::map<std::string, Reader>{
      {"recipe.input", [](K k, K v, Recipe& r) { return read_word(k, v, kInputs, r.input); }},
      {"recipe.tensor",
       [](K, K v, Recipe& r) {
         r.tensor = trim(v);
         return Status();
       }},
      {"recipe.size", read_size},
      {"recipe.resize", [](K k, K v, Recipe& r) { return read_word(k, v, kFilters, r.image.filter); }},
      {"recipe.crop", [](K k, K v, Recipe& r) { return read_double(k, v, 0, 1, r.image.crop); }},
      {"recipe.color", [](K k, K v, Recipe& r) { return read_word(k, v, kColors, r.image.color); }},
      {"recipe.layout", [](K k, K v, Recipe& r) { return read_word(k, v, kLayouts, r.image.nhwc); }},
      {"recipe.invert", [](K k, K v, Recipe& r) { return read_bool(k, v, r.image.invert); }},
      {"recipe.scale", [](K k, K v, Recipe& r) { return read_double(k, v, -kAny, kAny, r.image.scale); }},
      {"recipe.mean", [](K k, K v, Recipe& r) { return read_numbers(k, v, r.image.mean); }},
      {"recipe.std", read_std},
      {"recipe.rate", [](K k, K v, Recipe& r) { return read_int(k, v, 1, kMostRate, r.audio.rate); }},
      {"recipe.window", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.audio.window); }},
      {"recipe.context", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.audio.context); }},
      {"recipe.rate_tensor",
       [](K, K v, Recipe& r) {
         r.audio.rate_tensor = trim(v);
         return Status();
       }},
      {"recipe.state", read_states},
      {"recipe.begin", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.bytes.begin); }},
      {"recipe.end", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.bytes.end); }},
      {"recipe.block", [](K k, K v, Recipe& r) { return read_int(k, v, 1, kMostCount, r.bytes.block); }},
      {"recipe.padding", [](K k, K v, Recipe& r) { return read_int(k, v, -kMostCount, kMostCount, r.bytes.padding); }},
      {"recipe.least_bytes", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.bytes.least); }},
      {"recipe.strip", [](K k, K v, Recipe& r) { return read_bool(k, v, r.bytes.strip); }},
      {"recipe.output", [](K k, K v, Recipe& r) { return read_word(k, v, kOutputs, r.output.kind); }},
      {"recipe.top", [](K k, K v, Recipe& r) { return read_int(k, v, 1, kMostCount, r.output.top); }},
      {"recipe.softmax", [](K k, K v, Recipe& r) { return read_bool(k, v, r.output.softmax); }},
      {"recipe.labels",
       [](K, K v, Recipe& r) {
         r.output.labels = parse_labels(v);
         return Status();
       }},
      {"recipe.threshold", [](K k, K v, Recipe& r) { return read_double(k, v, 0, 1, r.output.threshold); }},
      {"recipe.iou", [](K k, K v, Recipe& r) { return read_double(k, v, 0, 1, r.output.iou); }},
      {"recipe.background", [](K k, K v, Recipe& r) { return read_int(k, v, -1, kMostCount, r.output.background); }},
      {"recipe.scores_tensor",
       [](K, K v, Recipe& r) {
         r.output.scores_tensor = trim(v);
         return Status();
       }},
      {"recipe.boxes_tensor",
       [](K, K v, Recipe& r) {
         r.output.boxes_tensor = trim(v);
         return Status();
       }},
      {"recipe.min_speech_ms",
       [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.output.min_speech_ms); }},
      {"recipe.min_silence_ms",
       [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.output.min_silence_ms); }},
      {"recipe.pad_ms", [](K k, K v, Recipe& r) { return read_int(k, v, 0, kMostCount, r.output.pad_ms); }},
  };
  return table;
}

std::string known_keys() {
  std::string known;
  for (const auto& [name, unused] : readers()) {
    known += known.empty() ? "" : ", ";
    known += name;
  }
  return known;
}

Status check_together(const Recipe& r) {
  bool one_channel = r.image.color == Color::kGray || r.image.color == Color::kY;
  if (one_channel && (r.image.mean.size() != 1 || r.image.std.size() != 1)) {
    return invalid_argument("recipe.mean and recipe.std have one number for a recipe.color of one channel");
  }
  bool needs_image = r.output.kind == OutputKind::kSsdBoxes || r.output.kind == OutputKind::kFastestDet ||
                     r.output.kind == OutputKind::kImageYcbcr;
  if (needs_image && r.input != InputKind::kImage)
    return invalid_argument("this recipe.output needs recipe.input image");
  if (r.output.kind == OutputKind::kImageYcbcr && r.image.color != Color::kY) {
    return invalid_argument("recipe.output image-ycbcr needs recipe.color y");
  }
  if (r.output.kind == OutputKind::kSpeech && (r.input != InputKind::kAudio || r.audio.window == 0)) {
    return invalid_argument("recipe.output speech needs recipe.input audio and a recipe.window");
  }
  return {};
}

}  // namespace

std::vector<std::string> parse_labels(std::string_view text) {
  char separator = text.find('\n') != std::string_view::npos ? '\n' : '|';
  std::vector<std::string> labels;
  for (std::string_view label : split(text, separator)) labels.emplace_back(label);
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  return labels;
}

Result<Recipe> parse_recipe(const std::map<std::string, std::string>& parameters) {
  Recipe recipe;
  for (const auto& [key, value] : parameters) {
    if (!key.starts_with("recipe.")) continue;
    auto reader = readers().find(key);
    if (reader == readers().end()) {
      return invalid_argument("unknown parameter " + key + "; known are " + known_keys());
    }
    MOTET_RETURN_IF_ERROR(reader->second(key, value, recipe));
  }
  MOTET_RETURN_IF_ERROR(check_together(recipe));
  return recipe;
}

}  // namespace motet::prep
