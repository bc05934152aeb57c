// The kinds of output, a function each. Internal to compute/prep; interpret.h says what they promise.
#pragma once

#include "compute/prep/interpret.h"

namespace motet::prep {

// An output's elements as floats.
struct Numbers {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

// The output of that name; "" means the first. An Error if there is none, or if it holds no numbers.
Result<Numbers> read_output(std::span<const NamedTensor> outputs, std::string_view name);

Label make_label(const OutputRecipe& recipe, int index, double score);

Result<Findings> find_classes(const OutputRecipe& recipe, std::span<const NamedTensor> outputs);
Result<Findings> find_ssd_boxes(const OutputRecipe& recipe, const Context& context,
                                std::span<const NamedTensor> outputs);
Result<Findings> find_fastestdet(const OutputRecipe& recipe, const Context& context,
                                 std::span<const NamedTensor> outputs);
Result<Findings> find_speech(const OutputRecipe& recipe, const Context& context,
                             std::span<const std::vector<NamedTensor>> answers);
Result<Findings> find_picture(const Context& context, std::span<const NamedTensor> outputs);

// Non-maximum suppression within each class: best first, without those that overlap a better one by more than
// `most_iou`.
std::vector<Box> suppress(std::vector<Box> boxes, double most_iou);
double intersection_over_union(const Box& a, const Box& b);

// Speech by silero-vad's rules (utils_vad.py, get_speech_timestamps): begins at `threshold`, ends `min_silence_ms`
// after falling below threshold - 0.15; segments shorter than min_speech_ms are dropped, the others padded by pad_ms.
std::vector<Segment> find_segments(const OutputRecipe& recipe, std::span<const float> probabilities,
                                   double window_seconds, double seconds);

// The photo with the boxes' outlines on it.
Image draw_boxes(const Image& photo, std::span<const Box> boxes);

}  // namespace motet::prep
