#include "body/serve/precision.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace motet::serve {
namespace {

// The first `rows` of `input`, on memory of their own; strings stay where they are, kept alive by their owner.
Tensor first_rows(const Tensor& input, int64_t rows, bool batched) {
  TensorView view = input.view();
  if (batched) view.shape.front() = std::min(view.shape.front(), rows);
  if (view.dtype == DType::kString) return {view, input.owner()};
  Tensor copy = Tensor::zeros(view.dtype, view.shape);
  if (view.bytes() > 0) std::memcpy(copy.view().data, view.data, view.bytes());
  return copy;
}

int64_t bytes_of_rows(const std::vector<NamedTensor>& inputs, int64_t rows, bool batched) {
  int64_t bytes = 0;
  for (const NamedTensor& input : inputs) {
    const TensorView& view = input.tensor.view();
    const int64_t has = batched ? std::max<int64_t>(view.shape.front(), 1) : 1;
    bytes += static_cast<int64_t>(view.bytes()) / has * std::min(rows, has);
  }
  return bytes;
}

}  // namespace

std::string PrecisionReport::why_exact() const {
  if (wish == repo::PrecisionWish::kExact || current != engine::Precision::kExact) return "";
  if (measured_on.empty() && alternatives.empty())
    return "not measured yet: " + std::to_string(PrecisionState::kLiveQueries) +
           " answered queries are needed, or a model_warmup sample with an input_data_file";
  std::string why;
  for (const MeasuredPrecision& one : alternatives)
    why += (why.empty() ? "" : "; ") + std::string(engine::precision_name(one.precision)) + ": " + one.refusal;
  return why;
}

PrecisionState::PrecisionState(repo::PrecisionWish wish, double max_error, const std::string& model)
    : wish_(wish), max_error_(max_error), random_(1, "precision samples of " + model) {
  report_.wish = wish;
  report_.max_error = max_error;
}

std::vector<engine::Precision> PrecisionState::alternatives() const {
  switch (wish_) {
    case repo::PrecisionWish::kExact: return {};
    case repo::PrecisionWish::kBf16: return {engine::Precision::kBf16};
    case repo::PrecisionWish::kInt8: return {engine::Precision::kInt8};
    case repo::PrecisionWish::kAutomatic: return {engine::Precision::kBf16, engine::Precision::kInt8};
  }
  return {};
}

void PrecisionState::sample_live() {
  if (reduced()) sampling_.store(true);
}

bool PrecisionState::offer(const std::vector<NamedTensor>& inputs, bool batched) {
  if (bytes_of_rows(inputs, kSampleRows, batched) > kSampleBytes) return false;
  std::lock_guard lock(mutex_);
  if (!sampling()) return false;
  ++offered_;
  // Reservoir sampling (Vitter, 1985, algorithm R): each query offered is kept with the same probability.
  size_t place = samples_.size();
  if (place == kLiveSamples) place = static_cast<size_t>(random_.below(static_cast<uint64_t>(offered_)));
  if (place < kLiveSamples) {
    Sample sample;
    for (const NamedTensor& input : inputs) {
      const Shape& whole = input.tensor.shape();
      sample.shapes.emplace_back(whole.begin() + (batched ? 1 : 0), whole.end());
      sample.inputs.push_back(first_rows(input.tensor, kSampleRows, batched));
    }
    if (place == samples_.size()) samples_.emplace_back();
    samples_[place] = std::move(sample);
  }
  if (offered_ < enough_) return false;
  sampling_.store(false);
  return true;
}

std::vector<Sample> PrecisionState::take_samples() {
  std::lock_guard lock(mutex_);
  return std::exchange(samples_, {});
}

void PrecisionState::settle(std::span<const brain::Variant> variants, const std::string& measured_on) {
  const std::vector<engine::Precision> others = alternatives();
  MOTET_CHECK(variants.size() == others.size() + 1, "a variant for exact and for each alternative");
  auto choice = brain::choose_variant(variants, max_error_, wish_ == repo::PrecisionWish::kAutomatic);
  std::lock_guard lock(mutex_);
  report_.measured_on = measured_on;
  report_.alternatives.clear();
  for (size_t i = 1; i < variants.size(); ++i) {
    const bool known = variants[i].refusal.empty() && std::isfinite(variants[i].error);
    report_.alternatives.push_back({others[i - 1], known ? variants[i].error : 0, known, choice.reasons[i]});
  }
  report_.error = variants[choice.chosen].error;
  report_.current = choice.chosen == 0 ? engine::Precision::kExact : others[choice.chosen - 1];
  error_.store(report_.error, std::memory_order_release);
  current_.store(report_.current, std::memory_order_release);
  if (report_.current != engine::Precision::kExact) watch(kWatchQueries);
}

void PrecisionState::watch(int64_t queries) {
  offered_ = 0;
  enough_ = queries;
  sampling_.store(true);
}

bool PrecisionState::recheck(const brain::Variant& present, const std::string& measured_on) {
  std::lock_guard lock(mutex_);
  const engine::Precision precision = report_.current;
  if (precision == engine::Precision::kExact) return false;
  auto at = std::find_if(report_.alternatives.begin(), report_.alternatives.end(),
                         [&](const MeasuredPrecision& one) { return one.precision == precision; });
  MOTET_CHECK(at != report_.alternatives.end(), "the present precision is one of the alternatives");
  const brain::Variant variants[] = {{"exact", "", 0, {}}, present};
  auto choice = brain::choose_variant(variants, max_error_, false);
  if (present.refusal.empty() && std::isfinite(present.error)) at->error = std::max(at->error, present.error);
  report_.measured_on = measured_on;
  if (choice.chosen != 0) {
    report_.error = at->error;
    error_.store(report_.error, std::memory_order_release);
    watch(enough_ * kWatchGrowth);
    return false;
  }
  at->refusal = choice.reasons[1];
  report_.error = 0;
  report_.current = engine::Precision::kExact;
  current_.store(report_.current, std::memory_order_release);
  error_.store(0, std::memory_order_release);
  return true;
}

PrecisionReport PrecisionState::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace motet::serve
