#include <algorithm>
#include <optional>

#include "compute/prep/outputs.h"

namespace motet::prep {

namespace {

// Grows every segment by `pad` on either side; neighbours closer than that share the gap.
void pad_segments(std::vector<Segment>& segments, double pad, double seconds) {
  for (size_t i = 0; i < segments.size(); ++i) {
    if (i == 0) segments[i].begin_s = std::max(0.0, segments[i].begin_s - pad);
    if (i + 1 == segments.size()) {
      segments[i].end_s = std::min(seconds, segments[i].end_s + pad);
      continue;
    }
    double gap = segments[i + 1].begin_s - segments[i].end_s;
    double each = gap < 2 * pad ? gap / 2 : pad;
    segments[i].end_s += each;
    segments[i + 1].begin_s -= each;
  }
}

}  // namespace

std::vector<Segment> find_segments(const OutputRecipe& recipe, std::span<const float> probabilities,
                                   double window_seconds, double seconds) {
  constexpr double kHysteresis = 0.15;
  double low = std::max(recipe.threshold - kHysteresis, 0.01);
  double min_speech = recipe.min_speech_ms / 1000.0;
  double min_silence = recipe.min_silence_ms / 1000.0;
  std::vector<Segment> segments;
  std::optional<double> begin;
  std::optional<double> silent_since;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    double now = static_cast<double>(i) * window_seconds;
    float p = probabilities[i];
    if (p >= recipe.threshold) {
      silent_since.reset();
      if (!begin) begin = now;
    } else if (p < low && begin) {
      if (!silent_since) silent_since = now;
      if (now - *silent_since < min_silence) continue;
      if (*silent_since - *begin > min_speech) segments.push_back({*begin, *silent_since});
      begin.reset();
      silent_since.reset();
    }
  }
  if (begin && seconds - *begin > min_speech) segments.push_back({*begin, seconds});
  pad_segments(segments, recipe.pad_ms / 1000.0, seconds);
  return segments;
}

Result<Findings> find_speech(const OutputRecipe& recipe, const Context& context,
                             std::span<const std::vector<NamedTensor>> answers) {
  std::vector<float> probabilities;
  for (const std::vector<NamedTensor>& answer : answers) {
    MOTET_ASSIGN(Numbers out, read_output(answer, recipe.scores_tensor));
    if (out.values.size() != 1) {
      return invalid_argument("speech reads one probability a window; output '" + out.name + "' has the shape " +
                              shape_to_string(out.shape));
    }
    probabilities.push_back(out.values[0]);
  }
  Findings findings;
  findings.speech = find_segments(recipe, probabilities, context.window_seconds, context.seconds);
  return findings;
}

}  // namespace motet::prep
