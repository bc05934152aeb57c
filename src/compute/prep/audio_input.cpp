#include <algorithm>
#include <string>

#include "compute/prep/audio.h"
#include "compute/prep/inputs.h"

namespace motet::prep {

namespace {

// Sound of more samples, at the model's rate, is refused: 4 hours at 16 kHz.
constexpr double kMostSamples = 16000.0 * 4 * 3600;

// Zeros of the input's shape, extents that it leaves open being 1.
Result<Tensor> first_state(const InputSpec& input) {
  Shape shape = input.shape;
  for (int64_t& extent : shape) {
    if (extent == -1) extent = 1;
  }
  MOTET_ASSIGN(int64_t count, checked_elements(shape));
  constexpr int64_t kMostElements = int64_t{1} << 28;
  if (count > kMostElements)
    return invalid_argument("state '" + input.name + "' of shape " + shape_to_string(shape) + " is too large");
  return Tensor::zeros(input.dtype, std::move(shape));
}

Result<Tensor> samples_tensor(const InputSpec& input, std::span<const float> samples) {
  auto length = static_cast<int64_t>(samples.size());
  if (input.shape.empty() || (input.shape.back() != -1 && input.shape.back() != length)) {
    return invalid_argument("the recipe gives " + std::to_string(length) + " samples a call; input '" + input.name +
                            "' has the shape " + shape_to_string(input.shape));
  }
  Shape shape(input.shape.size(), 1);
  shape.back() = length;
  return tensor_of(input, std::move(shape), samples);
}

}  // namespace

Result<Prepared> prepare_audio(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs) {
  const AudioRecipe& r = recipe.audio;
  MOTET_ASSIGN(const InputSpec* input, data_input(recipe, inputs));
  MOTET_ASSIGN(Sound sound, decode_wav(source.bytes, source.name));
  if (sound.samples.empty()) return invalid_argument(std::string(source.name) + " holds no samples");
  if (sound.seconds() * r.rate > kMostSamples) {
    return resource_exhausted(std::string(source.name) + " lasts " + std::to_string(sound.seconds()) +
                              " s; accepted are up to " + std::to_string(kMostSamples / r.rate) + " s");
  }
  sound = resample(sound, r.rate);
  size_t window = r.window > 0 ? static_cast<size_t>(r.window) : sound.samples.size();
  auto context = static_cast<size_t>(r.context);
  Prepared prepared;
  prepared.states = r.states;
  prepared.context.seconds = sound.seconds();
  prepared.context.window_seconds = static_cast<double>(window) / r.rate;
  std::optional<NamedTensor> rate;
  if (!r.rate_tensor.empty()) {
    MOTET_ASSIGN(const InputSpec* takes_rate, find_input(inputs, r.rate_tensor));
    auto value = static_cast<float>(r.rate);
    MOTET_ASSIGN(Tensor tensor, tensor_of(*takes_rate, Shape(takes_rate->shape.size(), 1), std::span(&value, 1)));
    rate = NamedTensor{takes_rate->name, std::move(tensor)};
  }
  // Silence before the first window and after the last.
  size_t windows = (sound.samples.size() + window - 1) / window;
  std::vector<float> padded(context + windows * window, 0);
  std::copy(sound.samples.begin(), sound.samples.end(), padded.begin() + static_cast<std::ptrdiff_t>(context));
  for (size_t i = 0; i < windows; ++i) {
    std::vector<NamedTensor>& call = prepared.calls.emplace_back();
    MOTET_ASSIGN(Tensor samples, samples_tensor(*input, std::span(padded).subspan(i * window, context + window)));
    call.push_back({input->name, std::move(samples)});
    if (rate) call.push_back(*rate);
    if (i > 0) continue;
    for (const auto& [state, output] : r.states) {
      MOTET_ASSIGN(const InputSpec* takes_state, find_input(inputs, state));
      MOTET_ASSIGN(Tensor zeros, first_state(*takes_state));
      call.push_back({state, std::move(zeros)});
    }
  }
  return prepared;
}

}  // namespace motet::prep
