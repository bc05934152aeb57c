#include "compute/engine/execution.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "base/tensor/named.h"
#include "compute/device/arena.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runnable.h"

namespace motet::engine {
namespace {

// Memory of outputs as large as this is kept for the next ones: the C library would map it anew, page by page in the
// midst of the step that writes it.
constexpr size_t kLargeOutput = size_t{2} << 20;

// Memory of one output for the whole batch; outlives the execution through the tensors that view it.
std::shared_ptr<std::byte> allocate_output(size_t bytes) {
  size_t rounded = std::max<size_t>((bytes + 63) / 64 * 64, 64);
  if (rounded >= kLargeOutput) {
    auto arena = device::Arena::create(Bytes(static_cast<int64_t>(rounded)));
    if (!arena.ok()) return nullptr;
    auto owner = std::make_shared<device::Arena>(std::move(*arena));
    return {owner, owner->data()};
  }
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(64, rounded));
  if (memory == nullptr) return nullptr;
  return {memory, [](std::byte* p) { std::free(p); }};
}

int64_t rows_of(const TensorView& view) { return view.shape.empty() ? 0 : view.shape[0]; }

// False if the program knows an extent only when it has run.
bool extents_known(const Port& port) {
  return std::all_of(port.shape.begin(), port.shape.end(), [](int64_t extent) { return extent >= 0; });
}

const Runnable& runnable(const Part& part) { return static_cast<const Runnable&>(*part.program); }

class BatchExecution final : public Execution {
 public:
  BatchExecution(std::vector<Part> parts, std::vector<QueryInputs> queries, bool batched)
      : parts_(std::move(parts)), queries_(std::move(queries)), batched_(batched) {}
  ~BatchExecution() override {
    run_.reset();
    if (arena_) give_arena(std::move(*arena_));
  }

  Status prepare();

  RunState run(device::Team& team) override;
  RunState step(device::Team& team, const device::Stop& stop) override;
  void request_pause() override { asked_.fetch_or(kPause, std::memory_order_release); }
  void request_kill() override {
    asked_.fetch_or(kKill, std::memory_order_release);
    std::lock_guard lock(run_mutex_);
    if (run_) run_->cancel();
  }
  void clear_pause() override { asked_.fetch_and(~kPause, std::memory_order_release); }
  int64_t steps_done() const override { return done_.load(std::memory_order_acquire); }
  int64_t steps_total() const override { return total_; }
  const Error& failure() const override;
  Tensor output(size_t query, size_t output) const override;

 private:
  bool killed() const { return (asked_.load(std::memory_order_acquire) & kKill) != 0; }
  Tensor taken_of(size_t query, size_t output) const;
  Status check_queries();
  Status check_parts();
  Status allocate();
  void begin_part();
  Status end_part();
  // The rows of input `port` that this part takes: in place if one query has them all, else gathered into `staging`.
  std::byte* gather(size_t port, std::byte* staging) const;
  size_t row_bytes(const Port& port) const;
  // Keeps output `port` of the part that ran, whose extents only the run knew.
  Status take(size_t port);
  // True if what a program gives for its rows is divided: among several queries, or between rows and padding.
  bool shares_rows() const;

  // Constant after prepare().
  std::vector<Part> parts_;
  std::vector<QueryInputs> queries_;
  const bool batched_;
  std::vector<int64_t> first_row_;                   // per query, and one past the last
  std::vector<std::shared_ptr<std::byte>> outputs_;  // null where extents are not known
  int64_t total_ = 0;

  // The leader's.
  std::optional<device::Arena> arena_;
  std::mutex run_mutex_;                            // held where run_ changes, and to cancel it from another thread
  std::unique_ptr<Run> run_;                        // of the part that runs
  std::vector<std::shared_ptr<std::byte>> padded_;  // outputs of a padded part, per port
  std::vector<Tensor> taken_;                       // outputs whose extents were not known, per port
  size_t part_ = 0;
  int64_t part_row_ = 0;  // first row of the part that runs
  int64_t steps_before_ = 0;
  RunState last_ = RunState::kPaused;
  Error failure_;

  // Synchronise themselves.
  static constexpr unsigned kPause = 1, kKill = 2;
  device::Stop asked_{0};
  std::atomic<int64_t> done_{0};
};

Status BatchExecution::check_queries() {
  if (parts_.empty() || queries_.empty()) return invalid_argument("an execution of no program or no query");
  const auto& ports = parts_.front().program->inputs();
  first_row_ = {0};
  for (const QueryInputs& query : queries_) {
    if (query.tensors.size() != ports.size())
      return invalid_argument(std::to_string(query.tensors.size()) + " inputs given; the model takes " +
                              std::to_string(ports.size()));
    for (size_t i = 0; i < ports.size(); ++i) {
      const TensorView& given = query.tensors[i];
      Shape wanted = ports[i].shape;
      if (batched_ && !given.shape.empty() && !wanted.empty()) wanted[0] = rows_of(query.tensors[0]);
      if (given.shape != wanted || given.dtype != ports[i].dtype)
        return invalid_argument("input '" + ports[i].name + "' is " + std::string(dtype_kserve_name(given.dtype)) +
                                " " + shape_to_string(given.shape) + "; this program takes " +
                                std::string(dtype_kserve_name(ports[i].dtype)) + " " + shape_to_string(wanted));
    }
    first_row_.push_back(first_row_.back() + (batched_ ? rows_of(query.tensors[0]) : 1));
  }
  if (!batched_ && (queries_.size() != 1 || parts_.size() != 1))
    return invalid_argument("several queries or programs for a model without a batch dimension");
  return {};
}

Status BatchExecution::check_parts() {
  if (!batched_) parts_.front().rows = 1;
  int64_t rows = 0;
  for (const Part& part : parts_) {
    rows += part.rows;
    if (!batched_) continue;
    for (const auto* ports : {&part.program->inputs(), &part.program->outputs()}) {
      for (const Port& port : *ports) {
        if (!extents_known(port)) {
          if (parts_.size() == 1) continue;
          return invalid_argument("several programs for a batch whose output '" + port.name + "' is " +
                                  shape_to_string(port.shape) + "; one is possible where an extent depends on data");
        }
        int64_t size = port.shape.empty() ? 0 : port.shape[0];
        bool padded_output = ports == &part.program->outputs() && size != part.program->inputs().front().shape[0];
        if (part.rows < 1 || part.rows > size || padded_output)
          return invalid_argument(std::to_string(part.rows) + " rows for a program whose '" + port.name + "' is " +
                                  shape_to_string(port.shape));
      }
    }
  }
  if (rows != first_row_.back())
    return invalid_argument("parts of " + std::to_string(rows) + " rows for queries of " +
                            std::to_string(first_row_.back()));
  return {};
}

size_t BatchExecution::row_bytes(const Port& port) const {
  size_t bytes = static_cast<size_t>(elements(port.shape)) * dtype_bytes(port.dtype);
  return batched_ ? bytes / static_cast<size_t>(port.shape[0]) : bytes;
}

Status BatchExecution::allocate() {
  size_t arena = 0;
  for (const Part& part : parts_) {
    arena = std::max(arena, runnable(part).arena_size());
    total_ += runnable(part).longest_path();
  }
  MOTET_ASSIGN(device::Arena taken, take_arena(arena));
  arena_.emplace(std::move(taken));
  taken_.resize(parts_.front().program->outputs().size());
  for (const Port& port : parts_.front().program->outputs()) {
    if (!extents_known(port)) {
      outputs_.push_back(nullptr);
      continue;
    }
    size_t bytes = row_bytes(port) * static_cast<size_t>(first_row_.back());
    outputs_.push_back(allocate_output(bytes));
    if (!outputs_.back())
      return resource_exhausted("no memory for output '" + port.name + "' of " + std::to_string(bytes) + " bytes");
  }
  return {};
}

Status BatchExecution::prepare() {
  MOTET_RETURN_IF_ERROR(check_queries());
  MOTET_RETURN_IF_ERROR(check_parts());
  return allocate();
}

std::byte* BatchExecution::gather(size_t port, std::byte* staging) const {
  const Port& p = parts_[part_].program->inputs()[port];
  size_t row = row_bytes(p);
  int64_t rows = parts_[part_].rows;
  int64_t end = part_row_ + rows;
  int64_t size = batched_ ? p.shape[0] : 1;
  int64_t filled = 0;
  for (size_t q = 0; q < queries_.size() && filled < rows; ++q) {
    int64_t from = std::max(first_row_[q], part_row_);
    int64_t to = std::min(first_row_[q + 1], end);
    if (from >= to) continue;
    std::byte* data = queries_[q].tensors[port].data + static_cast<size_t>(from - first_row_[q]) * row;
    bool aligned = reinterpret_cast<uintptr_t>(data) % std::min<size_t>(dtype_bytes(p.dtype), 8) == 0;
    if (to - from == size && aligned) return data;  // the query's own memory
    std::memcpy(staging + static_cast<size_t>(filled) * row, data, static_cast<size_t>(to - from) * row);
    filled += to - from;
  }
  if (filled < size)
    std::memset(staging + static_cast<size_t>(filled) * row, 0, static_cast<size_t>(size - filled) * row);
  return staging;
}

void BatchExecution::begin_part() {
  const Runnable& program = runnable(parts_[part_]);
  std::vector<std::byte*> inputs(program.inputs().size(), nullptr);
  for (const Staging& place : program.staging()) inputs[place.port] = gather(place.port, arena_->data() + place.offset);
  bool padded = batched_ && parts_[part_].rows != program.inputs().front().shape[0];
  padded_.clear();
  std::vector<std::byte*> outputs;
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    const Port& port = program.outputs()[o];
    if (!extents_known(port)) {
      if (padded) padded_.push_back(nullptr);
      outputs.push_back(nullptr);
    } else if (padded) {
      padded_.push_back(allocate_output(row_bytes(port) * static_cast<size_t>(port.shape[0])));
      MOTET_CHECK(padded_.back() != nullptr, "memory for a padded output");
      outputs.push_back(padded_.back().get());
    } else {
      outputs.push_back(outputs_[o].get() + static_cast<size_t>(part_row_) * row_bytes(port));
    }
  }
  auto run = program.start(arena_->data(), std::move(inputs), std::move(outputs));
  std::lock_guard lock(run_mutex_);
  run_ = std::move(run);
  if (killed()) run_->cancel();
}

bool BatchExecution::shares_rows() const {
  const Part& part = parts_.front();
  return batched_ && (queries_.size() > 1 || part.rows != part.program->inputs()[0].shape[0]);
}

Status BatchExecution::take(size_t port) {
  Tensor tensor = run_->take_output(port);
  const Program& program = *parts_.front().program;
  if (shares_rows() && rows_of(tensor.view()) != program.inputs()[0].shape[0])
    return unsupported("output '" + program.outputs()[port].name + "' came as " + shape_to_string(tensor.shape()) +
                       " for " + std::to_string(program.inputs()[0].shape[0]) +
                       " rows of several queries or of padding; only rows can be given back to their queries");
  taken_[port] = std::move(tensor);
  return {};
}

Status BatchExecution::end_part() {
  const Runnable& program = runnable(parts_[part_]);
  for (size_t o = 0; o < taken_.size(); ++o)
    if (!extents_known(program.outputs()[o])) MOTET_RETURN_IF_ERROR(take(o));
  for (size_t o = 0; o < padded_.size(); ++o) {
    if (padded_[o] == nullptr) continue;
    size_t row = row_bytes(program.outputs()[o]);
    std::memcpy(outputs_[o].get() + static_cast<size_t>(part_row_) * row, padded_[o].get(),
                static_cast<size_t>(parts_[part_].rows) * row);
  }
  padded_.clear();
  steps_before_ += program.longest_path();
  part_row_ += parts_[part_].rows;
  ++part_;
  std::lock_guard lock(run_mutex_);
  run_.reset();
  return {};
}

RunState BatchExecution::step(device::Team& team, const device::Stop& stop) {
  if (last_ != RunState::kPaused) return last_;
  if (killed()) return last_ = RunState::kKilled;
  if (!run_) begin_part();
  if (!run_->done()) {
    Status status = run_->step(team, stop);
    if (!status.ok()) {
      if (killed()) return last_ = RunState::kKilled;
      failure_ = status.error();
      return last_ = RunState::kFailed;
    }
  }
  done_.store(steps_before_ + run_->steps_done(), std::memory_order_release);
  if (!run_->done()) return RunState::kPaused;
  if (Status ended = end_part(); !ended.ok()) {
    failure_ = ended.error();
    return last_ = RunState::kFailed;
  }
  if (part_ == parts_.size()) last_ = RunState::kFinished;
  return last_;
}

RunState BatchExecution::run(device::Team& team) {
  while (last_ == RunState::kPaused) {
    if (asked_.load(std::memory_order_acquire) == kPause) return RunState::kPaused;
    step(team, asked_);
  }
  return last_;
}

const Error& BatchExecution::failure() const {
  MOTET_CHECK(last_ == RunState::kFailed, "failure() of an execution that did not fail");
  return failure_;
}

Tensor BatchExecution::taken_of(size_t query, size_t output) const {
  const Tensor& whole = taken_[output];
  if (!shares_rows()) return whole;
  TensorView view = whole.view();
  view.data += view.bytes() / static_cast<size_t>(view.shape[0]) * static_cast<size_t>(first_row_[query]);
  view.shape[0] = first_row_[query + 1] - first_row_[query];
  return Tensor(std::move(view), whole.owner());
}

Tensor BatchExecution::output(size_t query, size_t output) const {
  MOTET_CHECK(last_ == RunState::kFinished, "output() of an execution that has not finished");
  const Port& port = parts_.front().program->outputs()[output];
  if (outputs_[output] == nullptr) return taken_of(query, output);
  TensorView view{port.dtype, port.shape, outputs_[output].get()};
  if (batched_) {
    view.shape[0] = first_row_[query + 1] - first_row_[query];
    view.data += static_cast<size_t>(first_row_[query]) * row_bytes(port);
  }
  // An element may point into a query's input or a program's constant, which need not live as long as the answer.
  if (port.dtype == DType::kString) return copy_strings(view);
  return Tensor(std::move(view), outputs_[output]);
}

}  // namespace

Result<std::unique_ptr<Execution>> Execution::create(std::vector<Part> parts, std::vector<QueryInputs> queries,
                                                     bool batched) {
  auto execution = std::make_unique<BatchExecution>(std::move(parts), std::move(queries), batched);
  MOTET_RETURN_IF_ERROR(execution->prepare());
  return std::unique_ptr<Execution>(std::move(execution));
}

void map_memory(const Program& program) {
  if (const size_t arena = static_cast<const Runnable&>(program).arena_size(); arena <= kRetainedBytes) {
    if (auto taken = take_arena(arena); taken.ok()) {
      taken->populate();
      give_arena(std::move(*taken));
    }
  }
  std::vector<device::Arena> outputs;  // all at once, as an execution has them
  size_t left = kRetainedBytes;
  for (const Port& port : program.outputs()) {
    if (!extents_known(port)) continue;
    const size_t bytes = static_cast<size_t>(elements(port.shape)) * dtype_bytes(port.dtype);
    if (bytes < kLargeOutput || bytes > left) continue;
    auto memory = device::Arena::create(Bytes(static_cast<int64_t>(bytes)));
    if (!memory.ok()) return;
    memory->populate();
    left -= bytes;
    outputs.push_back(std::move(*memory));
  }
}

}  // namespace motet::engine
