#include "compute/foreign/openvino_step.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "compute/device/pool.h"

namespace motet::foreign {
namespace {

using engine::ForeignRun;

constexpr int64_t kAlignment = 64;

// On the calling thread. The copy of the model goes back when the run is destroyed.
class LocalRun final : public ForeignRun {
 public:
  LocalRun(const OpenVinoStep& step, std::unique_ptr<Compiled> copy, std::vector<TensorView> inputs,
           std::span<const TensorView> outputs)
      : step_(step), copy_(std::move(copy)), inputs_(std::move(inputs)), outputs_(outputs.begin(), outputs.end()) {}
  ~LocalRun() override { step_.give_copy(std::move(copy_)); }

  Result<bool> poll(Nanos) override {
    if (cancelled_.load(std::memory_order_acquire)) return Error{Code::kCancelled, "openvino: cancelled"};
    MOTET_RETURN_IF_ERROR(copy_->infer(inputs_, outputs_));
    return true;
  }
  void cancel() override {
    cancelled_.store(true, std::memory_order_release);
    copy_->cancel();
  }
  Tensor take_output(size_t port) override {
    auto result = copy_->output(port);
    MOTET_CHECK(result.ok(), "a run that has ended well has its outputs");
    return std::move(result).value();
  }

 private:
  const OpenVinoStep& step_;
  std::unique_ptr<Compiled> copy_;
  const std::vector<TensorView> inputs_, outputs_;
  std::atomic<bool> cancelled_{false};
};

// In a child, which the calling thread waits for asleep.
class ChildRun final : public ForeignRun {
 public:
  ChildRun(const OpenVinoStep& step, std::unique_ptr<Child> child, std::span<const TensorView> outputs)
      : step_(step), child_(std::move(child)), outputs_(outputs.begin(), outputs.end()), unknown_(outputs.size()) {}
  ~ChildRun() override {
    if (reusable_) step_.model().children.give(std::move(child_));
  }

  // Copies the inputs to where the child sees them, and asks it to run.
  Status begin(const std::vector<TensorView>& inputs) {
    RunOnce run{.program = step_.question(false).program};
    auto place = [&](const TensorView& view, bool fixed) {
      Placed placed{view.shape, fixed ? run.memory : -1};
      if (fixed) run.memory += (static_cast<int64_t>(view.bytes()) + kAlignment) / kAlignment * kAlignment;
      return placed;
    };
    for (const TensorView& view : inputs) run.inputs.push_back(place(view, true));
    for (const TensorView& view : outputs_) run.outputs.push_back(place(view, view.data != nullptr));
    run.memory = std::max(run.memory, kAlignment);
    MOTET_RETURN_IF_ERROR(child_->memory().grow(run.memory));
    run.memory = child_->memory().bytes();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].bytes() > 0)
        std::memcpy(child_->memory().data() + run.inputs[i].offset, inputs[i].data, inputs[i].bytes());
    if (!child_->knows(run.program)) child_->ask(step_.question(false));
    child_->ask(run);
    return {};
  }

  Result<bool> poll(Nanos patience) override {
    auto answer = child_->answer(static_cast<int>(std::min<int64_t>(patience.value / 1'000'000 + 1, 1'000'000)));
    if (!answer) return false;
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      if (cancelled_) return Error{Code::kCancelled, "openvino: cancelled"};
      reusable_ = child_->alive();
    }
    if (!reusable_) step_.start_soon();
    MOTET_ASSIGN(std::string bytes, std::move(*answer));
    MOTET_ASSIGN(Ran ran, decode_ran(bytes));
    MOTET_RETURN_IF_ERROR(child_->memory().follow(ran.memory));
    return collect(ran);
  }
  void cancel() override {
    std::lock_guard lock(mutex_);
    if (over_) return;
    cancelled_ = true;
    child_->kill();
  }
  Tensor take_output(size_t port) override { return std::move(unknown_[port]); }

 private:
  Result<bool> collect(const Ran& ran) {
    for (size_t o = 0; o < outputs_.size(); ++o) {
      const std::string what = "foreign child: output " + std::to_string(o);
      if (o >= ran.outputs.size()) return internal_error(what + " is missing");
      const Placed& placed = ran.outputs[o];
      bool fixed = outputs_[o].data != nullptr;
      if (fixed && placed.shape != outputs_[o].shape) return internal_error(what + " has another shape");
      MOTET_ASSIGN(int64_t count, checked_elements(placed.shape));
      int64_t bytes = count * static_cast<int64_t>(dtype_bytes(outputs_[o].dtype));
      if (placed.offset < 0 || bytes > child_->memory().bytes() || placed.offset > child_->memory().bytes() - bytes)
        return internal_error(what + " lies outside the shared memory");
      if (!fixed) unknown_[o] = Tensor::zeros(outputs_[o].dtype, placed.shape);
      std::byte* to = fixed ? outputs_[o].data : unknown_[o].view().data;
      if (bytes > 0) std::memcpy(to, child_->memory().data() + placed.offset, static_cast<size_t>(bytes));
    }
    return true;
  }

  const OpenVinoStep& step_;
  std::unique_ptr<Child> child_;
  const std::vector<TensorView> outputs_;
  std::vector<Tensor> unknown_;
  bool reusable_ = false;  // the child has answered, and can be asked again; the leader's
  std::mutex mutex_;
  bool over_ = false;       // guarded by mutex_
  bool cancelled_ = false;  // guarded by mutex_
};

// CPUs for `width` cores where the team does not name them: those that a pool takes first.
std::vector<int> first_cpus(int width) {
  std::vector<int> cpus = device::read_cpu_budget().cpus;
  if (static_cast<int>(cpus.size()) > width) cpus.resize(static_cast<size_t>(width));
  return cpus;
}

Bytes tensor_bytes(const std::vector<engine::Port>& ports) {
  int64_t sum = 0;
  for (const engine::Port& port : ports)
    if (auto count = checked_elements(port.shape); count.ok())
      sum += *count * static_cast<int64_t>(dtype_bytes(port.dtype));
  return Bytes(sum);
}

}  // namespace

Result<std::shared_ptr<const engine::ForeignStep>> OpenVinoStep::compile(std::shared_ptr<OpenedModel> model,
                                                                         const PortMap& ports,
                                                                         const std::vector<Shape>& shapes,
                                                                         const engine::ForeignOptions& options) {
  std::shared_ptr<OpenVinoStep> step(new OpenVinoStep());
  step->model_ = std::move(model);
  step->input_of_ = ports.input_of;
  step->precision_ = options.precision;
  step->program_ = ++step->model_->last_program;
  step->max_width_ = options.max_width;
  for (size_t ours : ports.input_of) step->shapes_.push_back(shapes[ours]);
  Bytes before = resident_bytes();
  MOTET_ASSIGN(auto copy, step->take_copy());
  step->inputs_ = ports.inputs;
  for (size_t i = 0; i < shapes.size(); ++i) step->inputs_[i].shape = shapes[i];
  step->outputs_ = ports.outputs;
  for (size_t o = 0; o < step->outputs_.size(); ++o) step->outputs_[o].shape = copy->outputs()[o].shape;
  if (options.calibrate) {
    OneCpu one(Threads::kCallersOnly);
    ZeroTensors zeros(copy->inputs(), copy->outputs());
    step->on_one_ = time_runs([&] { return copy->infer(zeros.inputs(), zeros.outputs()); });
  }
  Bytes least = tensor_bytes(copy->inputs()) + tensor_bytes(copy->outputs());
  step->bytes_ = step->run_bytes_ = std::max(least, resident_bytes() - before);
  step->give_copy(std::move(copy));
  MOTET_RETURN_IF_ERROR(step->measure(options));
  return std::shared_ptr<const engine::ForeignStep>(std::move(step));
}

// The same in a child, the way there and back included: on all cores, and what the copy there takes.
Status OpenVinoStep::measure(const engine::ForeignOptions& options) {
  if (max_width_ <= 1 || !options.calibrate) return {};
  SteadyClock clock;
  Nanos begin = clock.now();
  MOTET_ASSIGN(auto child, model_->children.take(first_cpus(max_width_)));
  child->ask(question(true));
  auto answer = child->answer(-1);
  while (!answer) answer = child->answer(-1);
  start_cost_ = clock.now() - begin;
  MOTET_ASSIGN(std::string bytes, std::move(*answer));
  MOTET_ASSIGN(Measured measured, decode_measured(bytes));
  bytes_ += std::max(measured.bytes, run_bytes_);
  const std::vector<int> cpus = child->cpus();
  model_->children.give(std::move(child));
  std::vector<engine::Port> inputs;  // in the network's order
  for (size_t ours : input_of_) inputs.push_back(inputs_[ours]);
  ZeroTensors zeros(inputs, outputs_);
  on_all_ = time_runs([&]() -> Status {
    MOTET_ASSIGN(auto taken, model_->children.take(cpus));
    ChildRun run(*this, std::move(taken), zeros.outputs());
    MOTET_RETURN_IF_ERROR(run.begin(zeros.inputs()));
    for (;;) {
      MOTET_ASSIGN(bool ended, run.poll(kNever));
      if (ended) return {};
    }
  });
  return {};
}

// Between one core and all: work that is shared and work that is not (Amdahl), through both measurements.
Nanos OpenVinoStep::predicted(int width) const {
  MOTET_CHECK(width >= 1, "a run has a core");
  if (width == 1 || max_width_ <= 1 || on_all_ == Nanos(0)) return on_one_;
  double one = static_cast<double>(on_one_.value);
  double all = static_cast<double>(on_all_.value);
  double share = (one - all) / (1.0 - 1.0 / max_width_);
  return Nanos(static_cast<int64_t>(one - share * (1.0 - 1.0 / std::min(width, max_width_))));
}

bool OpenVinoStep::worth_a_start(int width) const {
  std::lock_guard lock(mutex_);
  lost_ += std::max(Nanos(0), predicted(1) - predicted(width));
  if (lost_ < start_cost_) return false;
  lost_ = Nanos(0);
  return true;
}

void OpenVinoStep::start_soon() const {
  std::lock_guard lock(mutex_);
  lost_ = start_cost_;
}

Result<std::unique_ptr<Compiled>> OpenVinoStep::take_copy() const {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto copy = std::move(idle_.back());
      idle_.pop_back();
      return copy;
    }
  }
  std::lock_guard lock(model_->mutex);
  return model_->network->compile(shapes_, 1, precision_);
}

void OpenVinoStep::give_copy(std::unique_ptr<Compiled> copy) const {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(copy));
}

Result<std::unique_ptr<ForeignRun>> OpenVinoStep::start(std::span<const TensorView> inputs,
                                                        std::span<const TensorView> outputs, device::Team& team) const {
  std::vector<TensorView> ordered;
  for (size_t ours : input_of_) ordered.push_back(inputs[ours]);
  const int width = std::min(team.width(), max_width_);
  std::vector<int> cpus = team.cpus();
  if (cpus.empty()) cpus = first_cpus(width);
  if (width <= 1 || (!model_->children.has(cpus) && !worth_a_start(width))) {
    MOTET_ASSIGN(auto copy, take_copy());
    return std::unique_ptr<ForeignRun>(std::make_unique<LocalRun>(*this, std::move(copy), std::move(ordered), outputs));
  }
  MOTET_ASSIGN(auto child, model_->children.take(cpus));
  auto run = std::make_unique<ChildRun>(*this, std::move(child), outputs);
  MOTET_RETURN_IF_ERROR(run->begin(ordered));
  return std::unique_ptr<ForeignRun>(std::move(run));
}

}  // namespace motet::foreign
