#include "compute/engine/foreign_program.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "base/check.h"
#include "compute/engine/compile/memory_plan.h"

namespace motet::engine {
namespace {

// How often a run that is waited for looks at its own cancellation.
constexpr Nanos kPatience = Nanos::from_millis(100);

struct Installed {
  std::mutex mutex;
  std::vector<std::shared_ptr<ForeignExecutor>> executors;  // guarded by mutex
};

Installed& installed() {
  // Never destroyed: an executor's library may have gone when this process's statics go.
  static auto* list = new Installed;
  return *list;
}

bool known(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](int64_t extent) { return extent >= 0; });
}

size_t rounded(size_t bytes) { return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment; }

class ForeignProgram final : public Runnable {
 public:
  ForeignProgram(std::shared_ptr<const ForeignStep> step, std::string executor, Precision precision)
      : step_(std::move(step)), executor_(std::move(executor)), precision_(precision) {
    Nanos predicted = step_->predicted(1);
    infos_.push_back({.node = "the model",
                      .op = "model",
                      .implementation = executor_,
                      .predicted = predicted,
                      .longest_slice = predicted});
    for (size_t i = 0; i < step_->inputs().size(); ++i) {
      const Port& port = step_->inputs()[i];
      staging_.push_back({i, staged_});
      staged_ += rounded(static_cast<size_t>(elements(port.shape)) * dtype_bytes(port.dtype));
    }
  }

  const std::vector<Port>& inputs() const override { return step_->inputs(); }
  const std::vector<Port>& outputs() const override { return step_->outputs(); }
  const std::vector<StepInfo>& steps() const override { return infos_; }
  const std::vector<graph::PassReport>& passes() const override { return passes_; }
  // An execution may run beside another one.
  Bytes arena_bytes() const override { return Bytes(static_cast<int64_t>(staged_)) + step_->run_bytes(); }
  Bytes activation_bytes() const override { return arena_bytes(); }
  Bytes packed_bytes() const override { return step_->bytes(); }
  Nanos predicted() const override { return infos_.front().predicted; }
  Nanos timed_at(int width) const override { return step_->predicted(width); }
  Nanos longest_step() const override { return infos_.front().predicted; }
  Precision precision() const override { return precision_; }
  std::string executor() const override { return executor_; }
  std::string layout() const override { return "its own"; }

  size_t arena_size() const override { return staged_; }
  std::vector<Staging> staging() const override { return staging_; }
  int64_t longest_path() const override { return 1; }
  std::unique_ptr<Run> start(std::byte* arena, std::vector<std::byte*> inputs,
                             std::vector<std::byte*> outputs) const override;

 private:
  const std::shared_ptr<const ForeignStep> step_;
  const std::string executor_;
  const Precision precision_;
  std::vector<StepInfo> infos_;
  std::vector<graph::PassReport> passes_;
  std::vector<Staging> staging_;
  size_t staged_ = 0;
};

std::vector<TensorView> views_of(const std::vector<Port>& ports, const std::vector<std::byte*>& addresses) {
  std::vector<TensorView> views;
  for (size_t i = 0; i < ports.size(); ++i) {
    bool fixed = known(ports[i].shape);
    views.push_back({ports[i].dtype, ports[i].shape, fixed ? addresses[i] : nullptr});
  }
  return views;
}

class ForeignProgramRun final : public Run {
 public:
  ForeignProgramRun(std::shared_ptr<const ForeignStep> step, const std::vector<std::byte*>& inputs,
                    const std::vector<std::byte*>& outputs)
      : step_(std::move(step)),
        inputs_(views_of(step_->inputs(), inputs)),
        outputs_(views_of(step_->outputs(), outputs)) {}

  bool done() const override { return done_; }
  Status step(device::Team& team, const device::Stop&) override {
    done_ = true;
    MOTET_ASSIGN(std::unique_ptr<ForeignRun> run, step_->start(inputs_, outputs_, team));
    {
      std::lock_guard lock(mutex_);
      run_ = std::move(run);
      if (cancelled_) run_->cancel();
    }
    for (;;) {
      MOTET_ASSIGN(bool ended, run_->poll(kPatience));
      if (ended) return {};
    }
  }
  int64_t steps_done() const override { return done_ ? 1 : 0; }
  Tensor take_output(size_t port) override { return run_->take_output(port); }
  void cancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    if (run_) run_->cancel();
  }

 private:
  const std::shared_ptr<const ForeignStep> step_;
  const std::vector<TensorView> inputs_, outputs_;
  bool done_ = false;  // the leader's
  std::mutex mutex_;
  std::unique_ptr<ForeignRun> run_;  // set by the leader, guarded by mutex_ against cancel()
  bool cancelled_ = false;           // guarded by mutex_
};

std::unique_ptr<Run> ForeignProgram::start(std::byte*, std::vector<std::byte*> inputs,
                                           std::vector<std::byte*> outputs) const {
  return std::make_unique<ForeignProgramRun>(step_, inputs, outputs);
}

class ForeignOnlyModel final : public Model {
 public:
  ForeignOnlyModel(std::unique_ptr<ForeignPrograms> programs, size_t file_bytes) : programs_(std::move(programs)) {
    source_.graph = std::make_shared<graph::Graph>();
    source_.file_bytes = file_bytes;
  }
  const std::vector<Port>& inputs() const override { return programs_->model().inputs(); }
  const std::vector<Port>& outputs() const override { return programs_->model().outputs(); }
  bool batchable() const override { return programs_->model().batchable(); }
  Bytes weight_bytes() const override { return programs_->model().bytes(); }
  Result<ProgramPtr> compile(const std::vector<Shape>& shapes, const CompileOptions& options) override {
    return programs_->compile(shapes, options);
  }
  void drop(const std::vector<Shape>& shapes) override { programs_->drop(shapes); }
  const graph::Model& source() const override { return source_; }

 private:
  const std::unique_ptr<ForeignPrograms> programs_;
  graph::Model source_;  // constant after construction
};

// Every extent given, and none against the model's declaration.
Status check_shapes(const std::vector<Port>& ports, const std::vector<Shape>& shapes) {
  if (shapes.size() != ports.size())
    return invalid_argument(std::to_string(shapes.size()) + " input shapes given; the model has " +
                            std::to_string(ports.size()) + " inputs");
  for (size_t i = 0; i < ports.size(); ++i) {
    const Shape& declared = ports[i].shape;
    bool fits = shapes[i].size() == declared.size() && known(shapes[i]);
    for (size_t d = 0; fits && d < declared.size(); ++d) fits = declared[d] < 0 || declared[d] == shapes[i][d];
    std::string what = "input '" + ports[i].name + "' of shape " + shape_to_string(shapes[i]);
    if (!fits) return invalid_argument(what + "; the model takes " + shape_to_string(declared));
    if (auto sound = checked_elements(shapes[i]); !sound.ok())
      return invalid_argument(what + ": " + sound.error().message);
  }
  return {};
}

}  // namespace

void install_foreign(std::shared_ptr<ForeignExecutor> executor) {
  MOTET_CHECK(executor != nullptr, "an executor to install");
  std::lock_guard lock(installed().mutex);
  auto& list = installed().executors;
  std::erase_if(list, [&](const auto& other) { return other->name() == executor->name(); });
  list.push_back(std::move(executor));
}

std::vector<std::shared_ptr<ForeignExecutor>> foreign_executors() {
  std::lock_guard lock(installed().mutex);
  return installed().executors;
}

void uninstall_foreign() {
  std::lock_guard lock(installed().mutex);
  installed().executors.clear();
}

Result<std::shared_ptr<ForeignExecutor>> find_foreign(const std::string& name, const std::filesystem::path& path) {
  std::string names = "auto, native";
  std::string why;
  for (const auto& executor : foreign_executors()) {
    names += ", " + std::string(executor->name());
    if (name != "auto" && name != executor->name()) continue;
    if (name == "auto" && !executor->reads(path)) continue;
    Status opened = executor->open();
    if (opened.ok()) return executor;
    why += (why.empty() ? "" : "; ") + opened.error().message;
  }
  if (!why.empty()) return unsupported(why);
  if (name == "auto") return unsupported("no foreign executor that reads '" + path.string() + "' is installed");
  return invalid_argument("executor '" + name + "'; accepted are " + names);
}

struct ForeignPrograms::Table {
  using Key = std::tuple<std::vector<Shape>, int, Precision>;
  std::mutex compiling;
  std::mutex mutex;                    // no one holds it while compiling
  std::map<Key, ProgramPtr> programs;  // guarded by mutex
};

ForeignPrograms::ForeignPrograms(std::shared_ptr<ForeignExecutor> executor, std::shared_ptr<ForeignModel> model)
    : executor_(std::move(executor)), model_(std::move(model)), table_(std::make_unique<Table>()) {}
ForeignPrograms::~ForeignPrograms() = default;

Result<ProgramPtr> ForeignPrograms::compile(const std::vector<Shape>& shapes, const CompileOptions& options) {
  Table::Key key{shapes, options.max_width, options.precision};
  auto find = [&]() -> ProgramPtr {
    std::lock_guard lock(table_->mutex);
    auto found = table_->programs.find(key);
    return found == table_->programs.end() ? nullptr : found->second;
  };
  if (ProgramPtr program = find()) return program;
  std::lock_guard one_at_a_time(table_->compiling);
  if (ProgramPtr program = find()) return program;
  MOTET_RETURN_IF_ERROR(check_shapes(model_->inputs(), shapes));
  MOTET_ASSIGN(auto step, model_->compile(shapes, {.max_width = std::max(1, options.max_width),
                                                   .precision = options.precision,
                                                   .calibrate = options.calibrate}));
  auto program = std::make_shared<ForeignProgram>(
      std::move(step), std::string(executor_->name()) + " " + executor_->version(), options.precision);
  std::lock_guard lock(table_->mutex);
  return table_->programs.emplace(std::move(key), std::move(program)).first->second;
}

void ForeignPrograms::drop(const std::vector<Shape>& shapes) {
  std::vector<ProgramPtr> dropped;  // destroyed outside the lock
  std::lock_guard lock(table_->mutex);
  for (auto it = table_->programs.begin(); it != table_->programs.end();) {
    bool gone = std::get<0>(it->first) == shapes;
    if (gone) dropped.push_back(std::move(it->second));
    it = gone ? table_->programs.erase(it) : std::next(it);
  }
}

std::shared_ptr<Model> make_foreign_model(std::unique_ptr<ForeignPrograms> programs, size_t file_bytes) {
  return std::make_shared<ForeignOnlyModel>(std::move(programs), file_bytes);
}

}  // namespace motet::engine
