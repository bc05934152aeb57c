// Loader: reads models, completes their configs, measures what a reduced precision costs them, and compiles the
// programs of shape buckets, on a background thread. Each load, compile and unload ends in one event: Loaded, Unloaded
// or Failed with the reason. Functions may be called from any thread; the sink is called from the background thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/observe/metrics.h"
#include "body/serve/background.h"
#include "body/serve/instance.h"
#include "body/serve/measurement.h"
#include "body/serve/warmup.h"
#include "brain/control/event.h"
#include "wire/repo/settings.h"

namespace motet::serve {

// Of models whose config says nothing of it.
struct PrecisionDefaults {
  repo::PrecisionWish wish = repo::PrecisionWish::kExact;
  double max_error = repo::kDefaultPrecisionMaxError;
};

// How models are brought in.
struct Loading {
  // Programs are compiled when the loop asks for them, batch 1 first and the others behind it; else all that are known
  // beforehand when the model is loaded.
  bool on_demand = false;
  std::filesystem::path cache_dir;  // of packed weights and measurements (engine/model_cache.h); "" for none
};

class Loader {
 public:
  // The instance comes with a ConfigChanged: the settings are known only once the model has been read. `releases` comes
  // with what is told of a bucket: Instance::releases() when that was begun; the loop must not hear what is
  // told_too_late().
  using Sink = std::function<void(brain::Event, InstancePtr, uint64_t releases)>;

  // `width` is the greatest number of cores a program will run on. `registry` outlives the loader.
  Loader(int width, const PrecisionDefaults& precision, const Loading& loading, observe::Registry& registry, Sink sink);

  // Reads the model and completes its config; measures a reduced precision on the samples of its model_warmup; compiles
  // the buckets that those have, and the one bucket of a model whose shapes are fixed but for the batch; runs the
  // samples. On demand it only reads.
  void load(InstancePtr instance);
  // On demand a bucket is Loaded twice: with the program of batch 1, and when the others are there and all are
  // measured.
  void compile(InstancePtr instance, brain::BucketId bucket);
  // Lets go of a bucket's programs, before any load that is asked for later. Of the loop's thread: what is being
  // compiled for the bucket is out of date from here on.
  void drop(InstancePtr instance, brain::BucketId bucket);
  // Measures on the live samples that the instance has taken, at the lowest priority, what a reduced precision would
  // cost, or does cost. If that changes the precision, the buckets in use are compiled in the new one: a Loaded each,
  // which the loop has not asked for.
  void measure(InstancePtr instance);
  // Lets go of the model; memory returns when the last execution has.
  void unload(InstancePtr instance);

 private:
  Status read(Instance& instance) const;
  // All of load() but for the telling: the buckets that are compiled.
  Result<std::vector<brain::Loaded>> bring_in(const InstancePtr& instance) const;
  Status measure_on_warmup(const InstancePtr& instance, const std::vector<WarmupRun>& runs) const;
  Result<std::vector<brain::Loaded>> compile_known(Instance& instance, const std::vector<WarmupRun>& runs) const;
  void measure_live(Measurement measurement, const InstancePtr& instance);  // measuring_'s thread
  // The bucket of the present precision for shapes that have one of another.
  void compile_moved(const InstancePtr& instance, const BucketShapes& shapes);
  // That a bucket is there; what more there is to do for it is done later.
  void tell_compiled(const InstancePtr& instance, brain::Loaded loaded, uint64_t releases);
  // For an instance that is in: the bucket is charged with the weights that were packed for it too.
  Result<brain::Loaded> compile_late(Instance& instance, brain::BucketId bucket) const;
  Result<brain::Loaded> compile_bucket(Instance& instance, brain::BucketId bucket) const;
  // On demand: what the first query needs.
  Result<brain::Loaded> compile_first(Instance& instance, brain::BucketId bucket) const;
  // The rest of it, at the lowest priority; then what is worth keeping is kept. `told` is what it is charged with.
  void refine(Instance& instance, brain::BucketId bucket, uint64_t releases, Bytes told) const;
  void keep(Instance& instance) const;
  // Of an instance on demand whose programs these are.
  brain::Loaded loaded(const Instance& instance, brain::BucketId bucket,
                       const std::map<int, engine::ProgramPtr>& programs) const;
  // kCancelled, with the engine told to forget them, once `useful` says so between two of them.
  Result<std::map<int, engine::ProgramPtr>> compile_programs(
      Instance& instance, const BucketShapes& shapes, engine::Precision precision,
      const std::function<bool()>& useful = [] { return true; }) const;
  void announce(const InstancePtr& instance, const std::vector<brain::Loaded>& buckets) const;
  engine::CompileOptions options() const;

  // Constant after construction.
  const int width_;
  const PrecisionDefaults precision_;
  const Loading loading_;
  observe::Registry& registry_;  // synchronises itself
  const Sink sink_;

  // thread_'s only: how many instances of a model and version are in. Their metrics are the same.
  std::map<std::pair<std::string, int64_t>, int> present_;

  Background thread_;
  Background measuring_;  // last: its jobs post to thread_
};

// True if an event of a bucket, told with `releases`, is out of date: the loop has let go of the bucket since the work
// was begun. Of the loop's thread.
bool told_too_late(const Instance& instance, const brain::Event& event, uint64_t releases);

// The batch sizes for which a model with this limit gets programs: powers of two up to it, the limit, and those
// preferred.
std::vector<int> compiled_batches(int max_batch, const std::vector<int>& preferred);

// What decisions are told of a program of `batch` rows, for widths up to `width`. No step takes longer than the whole.
brain::ProgramFeatures program_features(int batch, const engine::Program& program, int width);

}  // namespace motet::serve
