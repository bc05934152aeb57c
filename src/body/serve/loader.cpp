#include "body/serve/loader.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "body/serve/facts.h"
#include "body/serve/statistics.h"
#include "compute/engine/cache/blob_store.h"
#include "wire/api/data_type.h"
#include "wire/proto/model_config.pb.h"

namespace motet::serve {
namespace {

// Until an execution at a width has been measured, a program is taken to have this share of its work in parallel
// (Amdahl); the loop's latency model corrects it from the first completion on.
constexpr double kParallelShare = 0.9;

// What the cache of packed weights may take on disk.
constexpr Bytes kCacheBytes{int64_t{32} << 30};

std::vector<Nanos> predicted_by_width(Nanos at_one, int width) {
  std::vector<Nanos> times;
  for (int w = 1; w <= width; ++w) {
    double share = (1.0 - kParallelShare) + kParallelShare / w;
    times.emplace_back(static_cast<int64_t>(static_cast<double>(at_one.value) * share));
  }
  return times;
}

DType dtype_of_tensor(inference::DataType type) {
  auto dtype = api::dtype_of(type);
  MOTET_CHECK(dtype.has_value(), "a completed config has only types that tensors can have");
  return *dtype;
}

repo::Signature signature_of(const engine::Model& model) {
  repo::Signature signature;
  auto convert = [](const std::vector<engine::Port>& ports) {
    std::vector<repo::TensorSignature> out;
    out.reserve(ports.size());
    for (const engine::Port& port : ports) {
      out.push_back({port.name, api::data_type_of(port.dtype), port.shape});
    }
    return out;
  };
  signature.inputs = convert(model.inputs());
  signature.outputs = convert(model.outputs());
  signature.batchable = model.batchable();
  return signature;
}

brain::ModelSettings settings_of(const Instance& instance) {
  const repo::ServingSettings& s = instance.serving;
  brain::ModelSettings m;
  m.name = instance.name;
  m.version = instance.version;
  m.max_batch = s.max_batch;
  m.slo = s.slo;
  m.slo_attainment = s.slo_attainment;
  m.allow_padding = s.allow_padding;
  m.dynamic_batching = s.dynamic_batching;
  m.max_queue_delay = s.max_queue_delay;
  m.preferred_batches = s.preferred_batches;
  m.preserve_ordering = s.preserve_ordering;
  m.max_queue = s.max_queue;
  m.priority_levels = s.priority_levels;
  m.default_priority = s.default_priority;
  return m;
}

// Position of every name of `wanted` in `ports`. The config was held against the model, so each is there.
std::vector<size_t> positions(const std::vector<engine::Port>& ports, const std::vector<std::string>& wanted) {
  std::vector<size_t> out;
  for (const std::string& name : wanted) {
    auto at = std::find_if(ports.begin(), ports.end(), [&](const engine::Port& p) { return p.name == name; });
    MOTET_CHECK(at != ports.end(), "a completed config names the model's own tensors");
    out.push_back(static_cast<size_t>(at - ports.begin()));
  }
  return out;
}

std::string of_instance(const Instance& instance, const std::string& text) {
  return "model '" + instance.name + "' version " + std::to_string(instance.version) + ": " + text;
}
// The error, with whose it is.
Error of_instance(const Instance& instance, const Error& error) {
  return {error.code, of_instance(instance, error.message)};
}

template <class List>
std::vector<api::TensorMetadata> metadata_of(const List& list, bool batched) {
  std::vector<api::TensorMetadata> out;
  for (const auto& tensor : list) {
    Shape shape(tensor.dims().begin(), tensor.dims().end());
    if (batched) shape.insert(shape.begin(), -1);
    out.push_back({tensor.name(), dtype_of_tensor(tensor.data_type()), std::move(shape)});
  }
  return out;
}

std::vector<std::string> names_of(const std::vector<api::TensorMetadata>& tensors) {
  std::vector<std::string> names;
  names.reserve(tensors.size());
  for (const auto& tensor : tensors) names.push_back(tensor.name);
  return names;
}

// The one bucket of a model whose extents are all fixed but for the batch, in the model's order of inputs.
std::optional<BucketShapes> fixed_shapes(const Instance& instance) {
  BucketShapes shapes(instance.metadata.inputs.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    const Shape& whole = instance.metadata.inputs[i].shape;
    Shape own(whole.begin() + (instance.batched ? 1 : 0), whole.end());
    if (std::any_of(own.begin(), own.end(), [](int64_t extent) { return extent < 0; })) return std::nullopt;
    shapes[instance.input_order[i]] = std::move(own);
  }
  return shapes;
}

}  // namespace

bool told_too_late(const Instance& instance, const brain::Event& event, uint64_t releases) {
  brain::BucketId bucket = 0;
  if (const auto* loaded = std::get_if<brain::Loaded>(&event)) bucket = loaded->bucket;
  if (const auto* failed = std::get_if<brain::Failed>(&event)) bucket = failed->bucket;
  return bucket != 0 && instance.releases(bucket) != releases;
}

std::vector<int> compiled_batches(int max_batch, const std::vector<int>& preferred) {
  std::set<int> sizes;
  for (int size = 1; size <= max_batch; size *= 2) sizes.insert(size);
  sizes.insert(std::max(1, max_batch));
  for (int size : preferred) sizes.insert(size);
  return {sizes.begin(), sizes.end()};
}

brain::ProgramFeatures program_features(int batch, const engine::Program& program, int width) {
  brain::ProgramFeatures features{batch, program.arena_bytes(), predicted_by_width(program.predicted(), width), {}};
  for (int w = 1; w <= width; ++w) {
    Nanos& whole = features.predicted[static_cast<size_t>(w - 1)];
    const Nanos timed = program.timed_at(w);
    if (timed > Nanos(0)) whole = timed;
    features.longest_step.push_back(timed > Nanos(0) ? timed : std::min(program.longest_step(), whole));
  }
  return features;
}

Loader::Loader(int width, const PrecisionDefaults& precision, const Loading& loading, observe::Registry& registry,
               Sink sink)
    : width_(width),
      precision_(precision),
      loading_(loading),
      registry_(registry),
      sink_(std::move(sink)),
      thread_("motet-load", Background::AtEnd::kDropTheRest,
              loading.on_demand ? Background::Priority::kLow : Background::Priority::kNormal),
      measuring_("motet-measure", Background::AtEnd::kDropTheRest, Background::Priority::kLow) {}

void Loader::load(InstancePtr instance) {
  thread_.post([this, instance = std::move(instance)] {
    SteadyClock clock;
    Nanos began = clock.now();
    auto buckets = bring_in(instance);
    if (!buckets.ok()) {
      sink_(brain::Failed{.instance = instance->id, .error = of_instance(*instance, buckets.error())}, nullptr, 0);
      return;
    }
    ++present_[{instance->name, instance->version}];
    announce(instance, *buckets);
    if (!loading_.on_demand) measuring_.post([this, instance] { keep(*instance); });
    registry_
        .gauge("nv_model_load_duration_secs", "How long the model took to load",
               {{"model", instance->name}, {"version", std::to_string(instance->version)}})
        .set((clock.now() - began).seconds());
  });
}

void Loader::announce(const InstancePtr& instance, const std::vector<brain::Loaded>& buckets) const {
  publish_facts(*instance, registry_);
  if (instance->precision->reduced())
    log_info(of_instance(*instance, precision_in_words(instance->precision->report())));
  brain::ModelSettings settings = settings_of(*instance);
  settings.on_demand = loading_.on_demand;
  sink_(brain::ConfigChanged{instance->id, true, std::move(settings), instance->expected_bytes}, instance, 0);
  for (const brain::Loaded& bucket : buckets) sink_(bucket, nullptr, instance->releases(bucket.bucket));
  const Bytes bytes = loading_.on_demand ? Bytes(0) : instance->model->weight_bytes();
  sink_(brain::Loaded{instance->id, 0, bytes, {}}, nullptr, 0);
}

void Loader::compile(InstancePtr instance, brain::BucketId bucket) {
  const uint64_t releases = instance->releases(bucket);
  thread_.post([this, instance = std::move(instance), bucket, releases] {
    if (instance->releases(bucket) != releases) return;
    auto compiled = loading_.on_demand ? compile_first(*instance, bucket) : compile_late(*instance, bucket);
    if (compiled.ok()) {
      tell_compiled(instance, std::move(compiled).value(), releases);
      // Asked for before the model changed its precision.
      if (instance->bucket_precision(bucket) != instance->precision->current())
        compile_moved(instance, instance->bucket_shapes(bucket));
    } else {
      sink_(
          brain::Failed{.instance = instance->id, .bucket = bucket, .error = of_instance(*instance, compiled.error())},
          nullptr, releases);
    }
  });
}

void Loader::drop(InstancePtr instance, brain::BucketId bucket) {
  instance->note_release(bucket);
  thread_.post([instance = std::move(instance), bucket] { instance->drop_programs(bucket); });
}

void Loader::unload(InstancePtr instance) {
  thread_.post([this, instance = std::move(instance)]() mutable {
    brain::Unloaded gone{instance->id};
    auto left = present_.find({instance->name, instance->version});
    if (left == present_.end() || --left->second == 0) {
      registry_.hide({{"model", instance->name}, {"version", std::to_string(instance->version)}});
      if (left != present_.end()) present_.erase(left);
    }
    instance.reset();
    sink_(gone, nullptr, 0);
  });
}

// ---- precision

void Loader::measure(InstancePtr instance) {
  thread_.post([this, instance = std::move(instance)] {
    if (!instance->wanted) return;
    PrecisionState& precision = *instance->precision;
    const engine::Precision present = precision.current();
    auto measurement = Measurement::prepare(
        instance, precision.take_samples(),
        present == engine::Precision::kExact ? precision.alternatives() : std::vector<engine::Precision>{present},
        options());
    if (!measurement.ok()) {
      log_warning(of_instance(*instance, "its precision could not be measured: " + measurement.error().message));
      return;
    }
    measuring_.post(
        [this, instance, measurement = std::move(measurement).value()] { measure_live(measurement, instance); });
  });
}

void Loader::measure_live(Measurement measurement, const InstancePtr& instance) {
  auto variants = measurement.run();
  measurement.release();
  if (!variants.ok()) {
    if (instance->wanted)
      log_warning(of_instance(*instance, "its precision could not be measured: " + variants.error().message));
    return;
  }
  PrecisionState& precision = *instance->precision;
  const std::string measured_on = std::to_string(measurement.samples()) + " live queries";
  bool changed = false;
  if (precision.current() == engine::Precision::kExact) {
    precision.settle(*variants, measured_on);
    changed = precision.current() != engine::Precision::kExact;
    log_info(of_instance(*instance, precision_in_words(precision.report())));
  } else if (precision.recheck(variants->back(), measured_on)) {
    changed = true;
    log_warning(of_instance(*instance, precision_in_words(precision.report())));
  }
  publish_facts(*instance, registry_);
  if (!changed) return;
  for (const BucketShapes& shapes : instance->shapes_lacking(precision.current())) {
    thread_.post([this, instance, shapes] { compile_moved(instance, shapes); });
  }
}

void Loader::compile_moved(const InstancePtr& instance, const BucketShapes& shapes) {
  const engine::Precision precision = instance->precision->current();
  const Route route{bucket_id(shapes, precision), precision};
  if (!instance->wanted || !instance->add_bucket(route, shapes).ok()) return;
  const uint64_t releases = instance->releases(route.bucket);
  auto compiled = loading_.on_demand ? compile_first(*instance, route.bucket) : compile_late(*instance, route.bucket);
  if (!compiled.ok()) {
    log_warning(of_instance(*instance, compiled.error().message + "; queries of these shapes keep their precision"));
    return;
  }
  tell_compiled(instance, std::move(compiled).value(), releases);
}

void Loader::tell_compiled(const InstancePtr& instance, brain::Loaded loaded, uint64_t releases) {
  const brain::BucketId bucket = loaded.bucket;
  const Bytes told = loaded.bytes;
  publish_facts(*instance, registry_);
  sink_(std::move(loaded), nullptr, releases);
  measuring_.post([this, instance, bucket, releases, told] {
    loading_.on_demand ? refine(*instance, bucket, releases, told) : keep(*instance);
  });
}

Status Loader::measure_on_warmup(const InstancePtr& instance, const std::vector<WarmupRun>& runs) const {
  if (!instance->precision->reduced()) return {};
  std::vector<Sample> samples;
  for (const WarmupRun& run : runs)
    if (run.holds_data) samples.push_back(run.sample);
  if (samples.empty()) {
    instance->precision->sample_live();
    return {};
  }
  const size_t count = samples.size();
  MOTET_ASSIGN(Measurement measurement,
               Measurement::prepare(instance, std::move(samples), instance->precision->alternatives(), options()));
  MOTET_ASSIGN(auto variants, measurement.run());
  instance->precision->settle(variants,
                              std::to_string(count) + (count == 1 ? " sample" : " samples") + " of model_warmup");
  measurement.release();
  return {};
}

// ---- reading and compiling

Result<std::vector<brain::Loaded>> Loader::bring_in(const InstancePtr& instance) const {
  MOTET_RETURN_IF_ERROR(read(*instance));
  MOTET_ASSIGN(auto samples, repo::read_warmup(instance->source.directory.path, *instance->config));
  MOTET_ASSIGN(auto runs, warmup_runs(*instance, samples));
  if (loading_.on_demand) {
    if (instance->precision->reduced()) instance->precision->sample_live();
    return std::vector<brain::Loaded>();
  }
  MOTET_RETURN_IF_ERROR(measure_on_warmup(instance, runs));
  MOTET_ASSIGN(auto buckets, compile_known(*instance, runs));
  MOTET_RETURN_IF_ERROR(run_warmup(*instance, runs));
  if (!runs.empty()) {
    int64_t count = 0;
    for (const WarmupRun& run : runs) count += run.runs;
    log_info(of_instance(*instance, "warmed up by " + std::to_string(count) + " runs of " +
                                        std::to_string(runs.size()) + " model_warmup samples"));
  }
  return buckets;
}

Result<std::vector<brain::Loaded>> Loader::compile_known(Instance& instance, const std::vector<WarmupRun>& runs) const {
  std::set<BucketShapes> known;
  if (auto shapes = fixed_shapes(instance)) known.insert(*shapes);
  for (const WarmupRun& run : runs) known.insert(run.sample.shapes);
  std::vector<brain::Loaded> buckets;
  for (const BucketShapes& shapes : known) {
    const Route route = instance.route(shapes);
    MOTET_RETURN_IF_ERROR(instance.add_bucket(route, shapes));
    MOTET_ASSIGN(brain::Loaded loaded, compile_bucket(instance, route.bucket));
    buckets.push_back(std::move(loaded));
  }
  return buckets;
}

Status Loader::read(Instance& instance) const {
  MOTET_ASSIGN(std::string executor, repo::executor_of(*instance.source.config));
  MOTET_ASSIGN(instance.model, engine::Model::load(instance.model_file,
                                                   {.executor = std::move(executor), .cache_dir = loading_.cache_dir}));
  auto served = repo::finish_config(instance.source, signature_of(*instance.model));
  if (!served.ok()) return served.error();
  instance.config = served->config;
  instance.serving = served->settings;
  instance.labels = served->labels;
  instance.batched = served->settings.max_batch > 0;
  instance.metadata.name = instance.name;
  instance.metadata.versions = {std::to_string(instance.version)};
  instance.metadata.platform = instance.config->platform();
  instance.metadata.inputs = metadata_of(instance.config->input(), instance.batched);
  instance.metadata.outputs = metadata_of(instance.config->output(), instance.batched);
  instance.input_order = positions(instance.model->inputs(), names_of(instance.metadata.inputs));
  instance.output_order = positions(instance.model->outputs(), names_of(instance.metadata.outputs));
  instance.precision = std::make_unique<PrecisionState>(
      instance.serving.precision.value_or(precision_.wish),
      instance.serving.precision_max_error.value_or(precision_.max_error), instance.name);
  instance.counters =
      std::make_shared<ModelCounters>(registry_, instance.name, instance.version, instance.serving.slo != kNever);
  return {};
}

engine::CompileOptions Loader::options() const {
  engine::CompileOptions options;
  options.max_width = width_;
  return options;
}

Result<std::map<int, engine::ProgramPtr>> Loader::compile_programs(Instance& instance, const BucketShapes& shapes,
                                                                   engine::Precision precision,
                                                                   const std::function<bool()>& useful) const {
  engine::CompileOptions with = options();
  with.precision = precision;
  std::map<int, engine::ProgramPtr> programs;
  for (int batch : compiled_batches(instance.serving.max_batch, instance.serving.preferred_batches)) {
    if (!useful()) {
      for (const auto& [compiled, program] : programs) instance.model->drop(instance.full_shapes(shapes, compiled));
      return Error{Code::kCancelled, "nobody wants its programs any more"};
    }
    MOTET_ASSIGN(engine::ProgramPtr program, instance.model->compile(instance.full_shapes(shapes, batch), with));
    programs.emplace(batch, std::move(program));
  }
  return programs;
}

Result<brain::Loaded> Loader::compile_late(Instance& instance, brain::BucketId bucket) const {
  const Bytes before = instance.model->weight_bytes();
  MOTET_ASSIGN(brain::Loaded loaded, compile_bucket(instance, bucket));
  const Bytes after = instance.model->weight_bytes();
  if (after > before) loaded.bytes += after - before;
  return loaded;
}

brain::Loaded Loader::loaded(const Instance& instance, brain::BucketId bucket,
                             const std::map<int, engine::ProgramPtr>& programs) const {
  // The weights too, though other buckets may share them: one may be dropped and the other stay.
  brain::Loaded loaded{instance.id, bucket, instance.model->weight_bytes(), {}};
  for (const auto& [batch, program] : programs) {
    loaded.bytes += program->packed_bytes();
    loaded.programs.push_back(program_features(batch, *program, width_));
  }
  return loaded;
}

Result<brain::Loaded> Loader::compile_first(Instance& instance, brain::BucketId bucket) const {
  engine::CompileOptions with = options();
  with.precision = instance.bucket_precision(bucket);
  with.calibrate = false;
  const std::vector<Shape> shapes = instance.full_shapes(instance.bucket_shapes(bucket), 1);
  auto program = instance.model->compile(shapes, with);
  if (!program.ok() && with.precision != engine::Precision::kExact) {
    log_warning(of_instance(instance, program.error().message + "; these shapes run exact"));
    with.precision = engine::Precision::kExact;
    program = instance.model->compile(shapes, with);
  }
  if (!program.ok()) return program.error();
  std::map<int, engine::ProgramPtr> programs;
  programs.emplace(1, std::move(program).value());
  brain::Loaded first = loaded(instance, bucket, programs);
  instance.set_programs(bucket, std::move(programs));
  return first;
}

void Loader::refine(Instance& instance, brain::BucketId bucket, uint64_t releases, Bytes told) const {
  auto useful = [&] { return instance.wanted && instance.releases(bucket) == releases; };
  engine::ProgramPtr first = instance.program(bucket, 1);
  if (!useful() || first == nullptr) return;  // dropped already
  keep(instance);
  const BucketShapes shapes = instance.bucket_shapes(bucket);
  const engine::Precision precision = first->precision();
  const std::weak_ptr<const engine::Program> before = first;
  first.reset();
  auto programs = compile_programs(instance, shapes, precision, useful);
  if (!programs.ok()) {
    if (programs.error().code == Code::kCancelled) return;
    log_warning(of_instance(instance, programs.error().message + "; its batches run row by row"));
    return;
  }
  const std::map<int, engine::ProgramPtr> all = *programs;
  // An earlier process or an earlier load had measured it: the first program is all there is to have.
  if (all.size() == 1 && all.begin()->second == before.lock()) {
    keep(instance);
    // What was packed beside it, to measure another shape, may have been charged to it.
    if (brain::Loaded now = loaded(instance, bucket, all); now.bytes != told) sink_(std::move(now), nullptr, releases);
    return;
  }
  if (!instance.renew_programs(bucket, releases, std::move(programs).value())) {
    for (const auto& [batch, program] : all) instance.model->drop(instance.full_shapes(shapes, batch));
    return;
  }
  // Weights that only the first program had packed so go with it: no program has no input shapes.
  instance.model->drop({});
  keep(instance);
  publish_facts(instance, registry_);
  sink_(loaded(instance, bucket, all), nullptr, releases);
}

void Loader::keep(Instance& instance) const {
  if (loading_.cache_dir.empty() || !instance.wanted) return;
  if (instance.model->persist() && engine::grown(loading_.cache_dir))
    (void)engine::trim(loading_.cache_dir, kCacheBytes);
}

Result<brain::Loaded> Loader::compile_bucket(Instance& instance, brain::BucketId bucket) const {
  const BucketShapes shapes = instance.bucket_shapes(bucket);
  const engine::Precision precision = instance.bucket_precision(bucket);
  auto programs = compile_programs(instance, shapes, precision);
  if (!programs.ok() && precision != engine::Precision::kExact) {
    log_warning(of_instance(instance, programs.error().message + "; these shapes run exact"));
    programs = compile_programs(instance, shapes, engine::Precision::kExact);
  }
  if (!programs.ok()) return programs.error();
  brain::Loaded loaded{instance.id, bucket, Bytes(0), {}};
  for (const auto& [batch, program] : *programs) {
    loaded.bytes += program->packed_bytes();
    loaded.programs.push_back(program_features(batch, *program, width_));
  }
  instance.set_programs(bucket, std::move(programs).value());
  return loaded;
}

}  // namespace motet::serve
