#include "body/serve/loader.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/clock.h"
#include "body/serve/statistics.h"
#include "wire/api/data_type.h"
#include "wire/proto/model_config.pb.h"

namespace motet::serve {
namespace {

// Until an execution at a width has been measured, a program is taken to have this share of its work in parallel
// (Amdahl); the loop's latency model corrects it from the first completion on.
constexpr double kParallelShare = 0.9;

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

// The error, with whose it is.
Error of_instance(const Instance& instance, const Error& error) {
  return {error.code,
          "model '" + instance.name + "' version " + std::to_string(instance.version) + ": " + error.message};
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

std::vector<int> compiled_batches(int max_batch, const std::vector<int>& preferred) {
  std::set<int> sizes;
  for (int size = 1; size <= max_batch; size *= 2) sizes.insert(size);
  sizes.insert(std::max(1, max_batch));
  for (int size : preferred) sizes.insert(size);
  return {sizes.begin(), sizes.end()};
}

Loader::Loader(int width, observe::Registry& registry, Sink sink)
    : width_(width), registry_(registry), sink_(std::move(sink)), thread_("motet-load") {}

void Loader::load(InstancePtr instance) {
  thread_.post([this, instance = std::move(instance)] {
    SteadyClock clock;
    Nanos began = clock.now();
    if (Status status = read(*instance); !status.ok()) {
      sink_(brain::Failed{.instance = instance->id, .error = of_instance(*instance, status.error())}, nullptr);
      return;
    }
    std::optional<brain::Loaded> warm;
    if (auto shapes = fixed_shapes(*instance)) {
      brain::BucketId bucket = bucket_id(*shapes);
      Status known = instance->add_bucket(bucket, *shapes);
      auto compiled = known.ok() ? compile_bucket(*instance, bucket) : Result<brain::Loaded>(known.error());
      if (!compiled.ok()) {
        sink_(brain::Failed{.instance = instance->id, .error = of_instance(*instance, compiled.error())}, nullptr);
        return;
      }
      warm = std::move(compiled).value();
    }
    sink_(brain::ConfigChanged{instance->id, true, settings_of(*instance), instance->expected_bytes}, instance);
    if (warm) sink_(*warm, nullptr);
    sink_(brain::Loaded{instance->id, 0, instance->model->weight_bytes(), {}}, nullptr);
    registry_
        .gauge("nv_model_load_duration_secs", "How long the model took to load",
               {{"model", instance->name}, {"version", std::to_string(instance->version)}})
        .set((clock.now() - began).seconds());
  });
}

void Loader::compile(InstancePtr instance, brain::BucketId bucket) {
  thread_.post([this, instance = std::move(instance), bucket] {
    auto compiled = compile_bucket(*instance, bucket);
    if (compiled.ok()) {
      sink_(std::move(compiled).value(), nullptr);
    } else {
      sink_(
          brain::Failed{.instance = instance->id, .bucket = bucket, .error = of_instance(*instance, compiled.error())},
          nullptr);
    }
  });
}

void Loader::unload(InstancePtr instance) {
  thread_.post([this, instance = std::move(instance)]() mutable {
    brain::Unloaded gone{instance->id};
    registry_.hide({{"model", instance->name}, {"version", std::to_string(instance->version)}});
    instance.reset();
    sink_(gone, nullptr);
  });
}

Status Loader::read(Instance& instance) const {
  MOTET_ASSIGN(instance.model, engine::Model::load(instance.model_file));
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
  instance.counters =
      std::make_shared<ModelCounters>(registry_, instance.name, instance.version, instance.serving.slo != kNever);
  return {};
}

Result<brain::Loaded> Loader::compile_bucket(Instance& instance, brain::BucketId bucket) const {
  BucketShapes shapes = instance.bucket_shapes(bucket);
  brain::Loaded loaded{instance.id, bucket, Bytes(0), {}};
  std::map<int, engine::ProgramPtr> programs;
  engine::CompileOptions options;
  options.max_width = width_;
  for (int batch : compiled_batches(instance.serving.max_batch, instance.serving.preferred_batches)) {
    MOTET_ASSIGN(engine::ProgramPtr program, instance.model->compile(instance.full_shapes(shapes, batch), options));
    loaded.bytes += program->packed_bytes();
    loaded.programs.push_back({batch, program->arena_bytes(), predicted_by_width(program->predicted(), width_)});
    programs.emplace(batch, std::move(program));
  }
  instance.set_programs(bucket, std::move(programs));
  return loaded;
}

}  // namespace motet::serve
