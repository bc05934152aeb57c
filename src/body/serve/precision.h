// PrecisionState: what precision one instance runs at, and why. A model that asks for less than fp32 stays exact until
// its error has been measured: on the samples of its model_warmup that hold data, else on queries that it has answered,
// of which a small random sample is kept until there are enough. While it is below exact, later queries are sampled
// too, ever more rarely, and one error above the bound makes it exact for good. Any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/tensor/named.h"
#include "brain/sched/variants.h"
#include "compute/engine/program.h"
#include "wire/repo/settings.h"

namespace motet::serve {

// The inputs of one query on which an error is measured.
struct Sample {
  std::vector<Shape> shapes;   // without the batch extent, in the model's order of inputs
  std::vector<Tensor> inputs;  // in that order
};

// One precision that the model may have, as measured.
struct MeasuredPrecision {
  engine::Precision precision = engine::Precision::kExact;
  double error = 0;     // against exact
  bool known = false;   // whether `error` was measured
  std::string refusal;  // why it is not used; "" if it is
};

struct PrecisionReport {
  repo::PrecisionWish wish = repo::PrecisionWish::kExact;
  double max_error = repo::kDefaultPrecisionMaxError;
  engine::Precision current = engine::Precision::kExact;
  double error = 0;                             // of `current`
  std::string measured_on;                      // "2 samples of model_warmup"; "" before
  std::vector<MeasuredPrecision> alternatives;  // those that were asked for
  // In words, why the model is exact although it asks for less; "" if it is not, or does not.
  std::string why_exact() const;
};

class PrecisionState {
 public:
  // Queries answered before an error is measured on live inputs, and how many of them are kept.
  static constexpr int64_t kLiveQueries = 32;
  static constexpr size_t kLiveSamples = 8;
  // Queries answered below exact before the error is measured again; each time it takes so many times as many.
  static constexpr int64_t kWatchQueries = 4096;
  static constexpr int64_t kWatchGrowth = 4;
  // What is kept of one query: its first rows, if they are not larger than this.
  static constexpr int64_t kSampleRows = 4;
  static constexpr int64_t kSampleBytes = int64_t{8} << 20;

  // `model` names the stream of random choices.
  PrecisionState(repo::PrecisionWish wish, double max_error, const std::string& model);

  repo::PrecisionWish wish() const { return wish_; }
  // Whether anything but exact is asked for.
  bool reduced() const { return wish_ != repo::PrecisionWish::kExact; }
  // The precisions that are measured.
  std::vector<engine::Precision> alternatives() const;
  engine::Precision current() const { return current_.load(std::memory_order_acquire); }
  // Of the present precision.
  double error() const { return error_.load(std::memory_order_acquire); }

  // From here on queries are sampled; without this call none is.
  void sample_live();
  bool sampling() const { return sampling_.load(std::memory_order_relaxed); }
  // An answered query, of which a copy may be kept. True once, when there are enough to measure. `batched`: the first
  // extent of each input is rows.
  bool offer(const std::vector<NamedTensor>& inputs, bool batched);
  std::vector<Sample> take_samples();

  // Decides by what was measured; `variants` are exact and the alternatives, in order.
  void settle(std::span<const brain::Variant> variants, const std::string& measured_on);
  // The present precision, measured again: the greatest error so far is the one that counts. True if it is above the
  // bound, or cannot be computed any more: from here on the model is exact.
  bool recheck(const brain::Variant& present, const std::string& measured_on);
  PrecisionReport report() const;

 private:
  void watch(int64_t queries);  // REQUIRES: mutex_ is held

  // Constant after construction.
  const repo::PrecisionWish wish_;
  const double max_error_;

  // Synchronise themselves.
  std::atomic<engine::Precision> current_{engine::Precision::kExact};
  std::atomic<double> error_{0};
  std::atomic<bool> sampling_{false};

  mutable std::mutex mutex_;
  Random random_;                  // guarded by mutex_
  std::vector<Sample> samples_;    // guarded by mutex_
  int64_t offered_ = 0;            // guarded by mutex_
  int64_t enough_ = kLiveQueries;  // of those offered; guarded by mutex_
  PrecisionReport report_;         // guarded by mutex_
};

}  // namespace motet::serve
