// Loader: reads models, completes their configs and compiles the programs of shape buckets, on a background thread.
// Each job ends in one event: Loaded, Unloaded or Failed with the reason. Functions may be called from any thread; the
// sink is called from the background thread.
#pragma once

#include <functional>

#include "base/observe/metrics.h"
#include "body/serve/background.h"
#include "body/serve/instance.h"
#include "brain/control/event.h"

namespace motet::serve {

class Loader {
 public:
  // The instance comes with a ConfigChanged: the settings are known only once the model has been read.
  using Sink = std::function<void(brain::Event, InstancePtr)>;

  // `width` is the greatest number of cores a program will run on. `registry` outlives the loader.
  Loader(int width, observe::Registry& registry, Sink sink);

  // Reads the model and completes its config; then, if its shapes are fixed but for the batch, compiles their bucket
  // too.
  void load(InstancePtr instance);
  void compile(InstancePtr instance, brain::BucketId bucket);
  // Lets go of the model; memory returns when the last execution has.
  void unload(InstancePtr instance);

 private:
  Status read(Instance& instance) const;
  Result<brain::Loaded> compile_bucket(Instance& instance, brain::BucketId bucket) const;

  const int width_;
  observe::Registry& registry_;  // synchronises itself
  const Sink sink_;
  Background thread_;
};

// The batch sizes for which a model with this limit gets programs: powers of two up to it, the limit, and those
// preferred.
std::vector<int> compiled_batches(int max_batch, const std::vector<int>& preferred);

}  // namespace motet::serve
