#include "brain/predict/latency.h"

#include <algorithm>

#include "base/check.h"

namespace motet::brain {
namespace {

constexpr int64_t kOne = RatioEstimate::kOne;
constexpr int64_t kLeastRatio = kOne >> 10;
constexpr int64_t kGreatestRatio = kOne << 20;
constexpr int64_t kSlowestGain = 8;  // the running mean moves by 1/8 of each surprise
constexpr int64_t kOwnSamples = 3;   // measurements from which a width speaks for itself
constexpr Nanos kUnknown{1'000};     // stands for a prediction that is missing

__extension__ typedef __int128 Wide;

int64_t multiply_divide(int64_t a, int64_t b, int64_t divisor) {
  Wide wide = static_cast<Wide>(a) * b / divisor;
  return static_cast<int64_t>(std::min<Wide>(wide, INT64_MAX));
}

}  // namespace

void RatioEstimate::observe(int64_t ratio) {
  ratio = std::clamp(ratio, kLeastRatio, kGreatestRatio);
  ++samples_;
  if (samples_ == 1 || ratio < typical_ / 2) {
    // The first is believed as much as the prediction, and less if it is wild. Times do not halve by chance: one that
    // does says that the machine has changed, and what was slow is to be tried again soon.
    typical_ = (typical_ + std::min(ratio, 4 * typical_)) / 2;
    deviation_ = typical_ / 4;
    high_ = typical_ + typical_ / 2;
    return;
  }
  // One wild measurement moves the mean no more than a ratio four times too high would.
  int64_t surprise = std::min(ratio, 4 * typical_) - typical_;
  int64_t gain = std::min(samples_, kSlowestGain);
  typical_ = std::clamp(typical_ + surprise / gain, kLeastRatio, kGreatestRatio);
  deviation_ += ((surprise < 0 ? -surprise : surprise) - deviation_) / gain;
  // Up by 99 parts when above, down by one when below: at rest one measurement in a hundred is above.
  int64_t part = std::max<int64_t>(1, deviation_ / 256);
  high_ += ratio > high_ ? 99 * part : -part;
  // Eight deviations bound it, so that it follows when the times fall for good.
  high_ = std::clamp(high_, typical_, typical_ + 8 * deviation_ + 1);
}

ProgramLatency::ProgramLatency(std::vector<Nanos> predicted) : predicted_(std::move(predicted)) {
  if (predicted_.empty()) predicted_.push_back(kUnknown);
  for (Nanos& p : predicted_) p = std::max(p, kUnknown);
  by_width_.resize(predicted_.size());
}

size_t ProgramLatency::column(int width) const {
  MOTET_CHECK(width >= 1, "a program runs on one core or more");
  return std::min(static_cast<size_t>(width), predicted_.size()) - 1;
}

LatencyBounds ProgramLatency::at(int width) const {
  size_t w = column(width);
  const RatioEstimate& ratio = by_width_[w].samples() >= kOwnSamples ? by_width_[w] : any_width_;
  int64_t prior = predicted_[w].value;
  return {Nanos(multiply_divide(prior, ratio.typical(), kOne)), Nanos(multiply_divide(prior, ratio.high(), kOne))};
}

void ProgramLatency::observe(int width, Nanos measured) {
  if (measured.value <= 0) return;
  size_t w = column(width);
  if (predicted_[w] == kUnknown)
    predicted_[w] = std::max(kUnknown, measured);  // the first measurement is the prediction
  int64_t ratio = multiply_divide(measured.value, kOne, predicted_[w].value);
  by_width_[w].observe(ratio);
  any_width_.observe(ratio);
}

}  // namespace motet::brain
