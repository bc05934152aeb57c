#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "base/clock.h"
#include "compute/engine/compile/compile.h"
#include "compute/engine/execution.h"
#include "compute/engine/fallback.h"
#include "compute/engine/program.h"
#include "compute/ops/onednn/onednn.h"

namespace motet::engine {
namespace {

using graph::Graph;
using graph::ValueId;

Port port_of(const graph::Value& value) {
  Port port{value.name, value.dtype.value_or(DType::kF32), {}};
  if (value.shape)
    for (const graph::Dim& dim : *value.shape) port.shape.push_back(dim.extent);
  return port;
}

// Of the constants that are used as they are: the others' bytes are in their packed copies.
size_t unpacked_bytes(const Graph& graph, const ops::WeightCache& weights) {
  size_t sum = 0;
  for (const graph::Value& value : graph.values)
    if (value.constant && !weights.has(*value.constant)) sum += value.constant->bytes();
  for (const graph::Node& node : graph.nodes)
    for (const auto& [key, attribute] : node.attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<const Graph>>(&attribute); body != nullptr && *body != nullptr)
        sum += unpacked_bytes(**body, weights);
      if (const auto* tensor = std::get_if<Tensor>(&attribute)) sum += tensor->bytes();
    }
  return sum;
}

// The outermost extent, if there is one and it is open.
const graph::Dim* open_rows(const graph::Value& value) {
  if (!value.shape || value.shape->empty() || value.shape->front().known()) return nullptr;
  return &value.shape->front();
}

// Extents of an output when the model's outermost extents are `rows` and its other open ones are `other`.
std::optional<std::vector<Shape>> output_shapes(const Graph& graph, int64_t rows, int64_t other) {
  std::vector<Shape> shapes;
  for (ValueId id : graph.inputs) {
    Shape shape = port_of(graph.value(id)).shape;
    for (size_t d = 0; d < shape.size(); ++d)
      if (shape[d] < 0) shape[d] = d == 0 ? rows : other;
    shapes.push_back(std::move(shape));
  }
  auto shaped = with_shapes(graph, shapes);
  if (!shaped.ok()) return std::nullopt;
  for (ValueId id : shaped->graph->outputs) shaped->graph->value(id).shape.reset();
  graph::PassContext context{.evaluate = reference_evaluator(), .symbols = shaped->symbols};
  if (!graph::infer_shapes(*shaped->graph, context).ok()) return std::nullopt;
  std::vector<Shape> outputs;
  for (ValueId id : shaped->graph->outputs) {
    auto shape = shaped->graph->value(id).static_shape();
    if (!shape) return std::nullopt;
    outputs.push_back(std::move(*shape));
  }
  return outputs;
}

// Whether rows of the inputs become rows of the outputs: by symbols where the model gives them one name, else by
// inferring the outputs' shapes for two and for three rows.
bool decide_batchable(const Graph& graph) {
  if (graph.inputs.empty() || graph.outputs.empty()) return false;
  std::string symbol;
  bool named = true;
  auto look = [&](ValueId id) {
    const graph::Dim* rows = open_rows(graph.value(id));
    if (rows == nullptr) return false;
    if (symbol.empty()) symbol = rows->symbol;
    named = named && !rows->symbol.empty() && rows->symbol == symbol;
    return true;
  };
  for (ValueId id : graph.inputs)
    if (!look(id)) return false;
  bool inputs_named = named;
  for (ValueId id : graph.inputs)  // inputs with different names may have different numbers of rows
    if (open_rows(graph.value(id))->symbol != symbol) return false;
  for (ValueId id : graph.outputs)
    if (!look(id)) return false;
  if (inputs_named && named) return true;
  constexpr int64_t kOther = 64;  // for open extents that are not rows; a model that cannot have it is not batched
  auto two = output_shapes(graph, 2, kOther);
  auto three = output_shapes(graph, 3, kOther);
  if (!two || !three) return false;
  for (size_t o = 0; o < two->size(); ++o) {
    Shape a = (*two)[o];
    Shape b = (*three)[o];
    if (a.empty() || a.size() != b.size() || a[0] != 2 || b[0] != 3) return false;
    a[0] = b[0] = 0;
    if (a != b) return false;
  }
  return true;
}

// The model's cache as the weights' store.
class CachedWeights final : public ops::PackedStore {
 public:
  explicit CachedWeights(const ModelCache& cache) : cache_(cache) {}
  std::optional<Found> find(const std::string& key) const override {
    auto blob = cache_.packed(key);
    if (!blob) return std::nullopt;
    return Found{blob->bytes, std::move(blob->owner)};
  }
  bool keep(const std::string& key, std::span<const std::byte> bytes) const override {
    return cache_.put_packed(key, bytes);
  }

 private:
  const ModelCache& cache_;
};

class LoadedModel final : public Model {
 public:
  LoadedModel(graph::Model source, const std::filesystem::path& cache_dir)
      : source_(std::move(source)), cache_(cache_dir, source_.files) {
    const Graph& graph = *source_.graph;
    for (ValueId id : graph.inputs) inputs_.push_back(port_of(graph.value(id)));
    for (ValueId id : graph.outputs) outputs_.push_back(port_of(graph.value(id)));
    batchable_ = decide_batchable(graph);
  }

  const std::vector<Port>& inputs() const override { return inputs_; }
  const std::vector<Port>& outputs() const override { return outputs_; }
  bool batchable() const override { return batchable_; }
  Bytes weight_bytes() const override;
  Result<ProgramPtr> compile(const std::vector<Shape>& input_shapes, const CompileOptions& options) override;
  void drop(const std::vector<Shape>& input_shapes) override;
  const graph::Model& source() const override { return source_; }
  bool persist() override { return cache_.persist() && weights_.save(); }
  ModelCache& cache() { return cache_; }

  // Reads what every program needs whatever its shapes: refuses here what no shape would make right.
  Status prepare() {
    MOTET_ASSIGN(auto graph, prepared({}));
    return graph->inputs.size() == inputs_.size() ? Status() : internal_error("a pass changed the model's inputs");
  }

 private:
  using Key = std::tuple<std::vector<Shape>, int, std::set<std::string>, std::optional<ops::Layout>, Precision, Nanos,
                         bool, Bytes>;

  Result<std::shared_ptr<const Graph>> prepared(const std::set<std::string>& disabled);
  void name_weights(const Graph& graph, const std::set<std::string>& disabled);

  // Constant after construction.
  const graph::Model source_;
  std::vector<Port> inputs_, outputs_;
  bool batchable_ = false;

  // Synchronise themselves.
  ModelCache cache_;
  const CachedWeights store_{cache_};
  ops::WeightCache weights_{&store_};

  // One program is compiled at a time, and beside it one that is measured: what a query waits for does not wait for
  // what is only worth having.
  std::mutex compile_mutex_, measure_mutex_;

  std::mutex convolutions_mutex_;
  std::map<Precision, std::optional<ConvolutionChoice>> convolutions_;  // as measured; guarded by its mutex

  mutable std::mutex prepared_mutex_;
  std::map<std::set<std::string>, std::shared_ptr<const Graph>> prepared_;  // by disabled passes; guarded by its mutex

  // Guarded by programs_mutex_, which no one holds while compiling.
  std::mutex programs_mutex_;
  std::map<Key, Compiled> programs_;
};

Bytes LoadedModel::weight_bytes() const {
  std::shared_ptr<const Graph> graph = source_.graph;
  {
    std::lock_guard lock(prepared_mutex_);
    if (!prepared_.empty()) graph = prepared_.begin()->second;  // by the fewest disabled passes: what is served
  }
  return Bytes(static_cast<int64_t>(unpacked_bytes(*graph, weights_) + weights_.bytes()));
}

// What is worth keeping between processes gets a name: constants of a graph that is the same in each of them.
void LoadedModel::name_weights(const Graph& graph, const std::set<std::string>& disabled) {
  std::string without;
  for (const std::string& pass : disabled) without += pass + ' ';
  for (size_t i = 0; i < graph.values.size(); ++i)
    if (const auto& constant = graph.values[i].constant)
      weights_.name(*constant, without + std::to_string(i) + ' ' + graph.values[i].name);
}

// The graph after the passes that need no shapes, so that folded weights are made once and shared by all programs.
Result<std::shared_ptr<const Graph>> LoadedModel::prepared(const std::set<std::string>& disabled) {
  {
    std::lock_guard lock(prepared_mutex_);
    if (auto found = prepared_.find(disabled); found != prepared_.end()) return found->second;
  }
  auto graph = std::make_shared<Graph>(*source_.graph);
  SteadyClock clock;
  MOTET_ASSIGN(
      auto reports,
      graph::run_passes(*graph, {.evaluate = reference_evaluator(), .int8 = ops::onednn::has_int8()}, disabled, clock));
  std::shared_ptr<const Graph> done = std::move(graph);
  name_weights(*done, disabled);
  std::lock_guard lock(prepared_mutex_);
  return prepared_.emplace(disabled, std::move(done)).first->second;
}

Result<ProgramPtr> LoadedModel::compile(const std::vector<Shape>& input_shapes, const CompileOptions& options) {
  Key key{input_shapes,      options.max_width, options.disabled_passes, options.layout,
          options.precision, options.quantum,   options.lanes,           options.growth};
  auto find = [&]() -> ProgramPtr {
    std::lock_guard lock(programs_mutex_);
    auto found = programs_.find(key);
    bool good = found != programs_.end() && (found->second.calibrated || !options.calibrate);
    return good ? found->second.program : nullptr;
  };
  if (ProgramPtr program = find()) return program;
  std::lock_guard one_at_a_time(options.calibrate ? measure_mutex_ : compile_mutex_);
  if (ProgramPtr program = find()) return program;
  MOTET_ASSIGN(auto graph, prepared(options.disabled_passes));
  std::optional<ConvolutionChoice> choice;
  {
    std::lock_guard lock(convolutions_mutex_);
    choice = convolutions_[options.precision];
  }
  std::optional<ops::WeightCache::Trial> trial;
  if (options.calibrate) trial.emplace(weights_);
  MOTET_ASSIGN(auto compiled, compile_graph(*graph, input_shapes, options, weights_, cache_, choice));
  if (options.calibrate) map_memory(*compiled.program);
  if (choice) {
    std::lock_guard lock(convolutions_mutex_);
    auto& known = convolutions_[options.precision];
    if (!known) known = std::move(choice);
  }
  std::lock_guard lock(programs_mutex_);
  auto [at, fresh] = programs_.try_emplace(std::move(key), compiled);
  if (!fresh && (compiled.calibrated || !at->second.calibrated)) at->second = std::move(compiled);
  return at->second.program;
}

void LoadedModel::drop(const std::vector<Shape>& input_shapes) {
  std::vector<ProgramPtr> dropped;  // destroyed outside the lock
  {
    std::lock_guard lock(programs_mutex_);
    for (auto it = programs_.begin(); it != programs_.end();) {
      if (std::get<0>(it->first) == input_shapes) {
        dropped.push_back(std::move(it->second.program));
        it = programs_.erase(it);
      } else {
        ++it;
      }
    }
  }
  dropped.clear();
  weights_.trim();
}

}  // namespace

std::string_view precision_name(Precision precision) {
  switch (precision) {
    case Precision::kExact: return "exact";
    case Precision::kBf16: return "bf16";
    case Precision::kInt8: return "int8";
  }
  return "?";
}

std::optional<Precision> precision_of(std::string_view name) {
  for (Precision precision : {Precision::kExact, Precision::kBf16, Precision::kInt8})
    if (precision_name(precision) == name) return precision;
  return std::nullopt;
}

namespace {

// The models that somebody has loaded.
struct Loaded {
  std::mutex mutex;
  std::vector<std::weak_ptr<LoadedModel>> models;
};
Loaded& loaded() {
  static Loaded instance;
  return instance;
}

bool same_content(LoadedModel& a, LoadedModel& b) {
  if (a.cache().identity().empty() || b.cache().identity().empty()) return false;
  if (a.cache().root() != b.cache().root() || a.source().file_bytes != b.source().file_bytes) return false;
  if (a.cache().identity() == b.cache().identity()) return true;
  auto first = a.cache().content();
  return first && first == b.cache().content();
}

// The one of the same content that was there before, if there is one; else `model`, which is there from now on.
std::shared_ptr<LoadedModel> shared(std::shared_ptr<LoadedModel> model) {
  std::vector<std::shared_ptr<LoadedModel>> others;
  {
    std::lock_guard lock(loaded().mutex);
    std::erase_if(loaded().models, [](const auto& each) { return each.expired(); });
    for (const auto& each : loaded().models)
      if (auto other = each.lock()) others.push_back(std::move(other));
    loaded().models.push_back(model);
  }
  for (auto& other : others)
    if (same_content(*other, *model)) return other;
  return model;
}

Result<std::shared_ptr<Model>> read_native(const std::filesystem::path& path, const std::filesystem::path& cache_dir) {
  MOTET_ASSIGN(graph::Model source, graph::read_onnx(path));
  auto model = shared(std::make_shared<LoadedModel>(std::move(source), cache_dir));
  MOTET_RETURN_IF_ERROR(model->prepare());
  return std::shared_ptr<Model>(std::move(model));
}

}  // namespace

Result<std::shared_ptr<Model>> Model::load(const std::filesystem::path& path, const LoadOptions& options) {
  return load_with_fallback(path, options,
                            [&](const std::filesystem::path& file) { return read_native(file, options.cache_dir); });
}

}  // namespace motet::engine
