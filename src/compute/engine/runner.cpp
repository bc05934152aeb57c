#include "compute/engine/runner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "compute/device/slice_team.h"

namespace motet::engine {

Nanos CompiledProgram::predicted() const {
  Nanos sum;
  for (const StepInfo& info : infos) sum += info.predicted;
  return sum;
}

Nanos CompiledProgram::longest_step() const {
  Nanos longest;
  for (const StepInfo& info : infos) longest = std::max(longest, info.longest_slice);
  return longest;
}

std::vector<Staging> CompiledProgram::staging() const {
  std::vector<Staging> list;
  for (const Buffer& buffer : buffers)
    if (buffer.kind == Buffer::Kind::kInput && buffer.bytes > 0) list.push_back({buffer.port, buffer.offset});
  return list;
}

std::unique_ptr<Run> CompiledProgram::start(std::byte* memory, std::vector<std::byte*> input_addresses,
                                            std::vector<std::byte*> output_addresses) const {
  return std::make_unique<Runner>(*this, memory, std::move(input_addresses), std::move(output_addresses));
}

std::string CompiledProgram::layout() const {
  switch (preferred) {
    case ops::Layout::kNhwc: return "nhwc";
    case ops::Layout::kNChw8c: return "nChw8c";
    case ops::Layout::kNChw16c: return "nChw16c";
    case ops::Layout::kRowMajor: return "any";
  }
  return "?";
}

int64_t CompiledProgram::longest_path() const {
  int64_t steps = 0;
  for (const Step& step : body) {
    steps += step.count();
    if (step.branch) steps += std::max(step.branch->taken[0]->longest_path(), step.branch->taken[1]->longest_path());
  }
  return steps;
}

int Slices::reach(int first, int width, Nanos quantum) const {
  auto end = std::upper_bound(ends.begin(), ends.end(), first);
  MOTET_CHECK(end != ends.end(), "a slice begins before the last unit");
  auto time = [&](int last) {
    Nanos work = before[static_cast<size_t>(last)] - before[static_cast<size_t>(first)];
    // The cores end together but for the last unit.
    return width == 1 ? work : work / width + longest_unit;
  };
  while (std::next(end) != ends.end() && time(*std::next(end)) <= quantum) ++end;
  return *end;
}

Runner::Runner(const CompiledProgram& program, std::byte* arena, std::vector<std::byte*> inputs,
               std::vector<std::byte*> outputs) {
  push(program, arena, inputs, outputs, program.longest_path());
}

void Runner::push(const CompiledProgram& program, std::byte* arena, const std::vector<std::byte*>& inputs,
                  const std::vector<std::byte*>& outputs, int64_t ends_at) {
  Frame frame{.program = &program, .arena = arena, .ends_at = ends_at};
  frame.addresses.reserve(program.buffers.size());
  for (const Buffer& buffer : program.buffers) {
    switch (buffer.kind) {
      case Buffer::Kind::kArena: frame.addresses.push_back(arena + buffer.offset); break;
      case Buffer::Kind::kInput: frame.addresses.push_back(inputs[buffer.port]); break;
      case Buffer::Kind::kOutput: frame.addresses.push_back(outputs[buffer.port]); break;
      case Buffer::Kind::kConstant: frame.addresses.push_back(buffer.constant.view().data); break;
    }
  }
  frames_.push_back(std::move(frame));
}

void Runner::enter(const Step& step) {
  const Frame& outer = frames_.back();
  auto address = [&](const StepOperand& o) {
    return o.buffer == kNoBuffer ? nullptr : outer.addresses[static_cast<size_t>(o.buffer)];
  };
  size_t side = std::to_integer<int>(*address(step.branch->condition)) != 0 ? 1 : 0;
  const CompiledProgram& taken = *step.branch->taken[side];
  std::vector<std::byte*> inputs;
  std::vector<std::byte*> outputs;
  for (const StepOperand& o : step.branch->inputs[side]) inputs.push_back(address(o));
  for (const StepOperand& o : step.outputs) outputs.push_back(address(o));
  std::byte* arena = step.scratch == kNoBuffer ? nullptr : outer.addresses[static_cast<size_t>(step.scratch)];
  int64_t longest = std::max(step.branch->taken[0]->longest_path(), step.branch->taken[1]->longest_path());
  push(taken, arena, inputs, outputs, done_ + longest);
}

std::vector<TensorView> Runner::place(const std::vector<StepOperand>& operands) const {
  std::vector<TensorView> views;
  for (const StepOperand& o : operands) {
    views.push_back(o.view);
    views.back().data = o.buffer == kNoBuffer ? nullptr : frames_.back().addresses[static_cast<size_t>(o.buffer)];
  }
  return views;
}

std::vector<TensorView> Runner::next_inputs() const { return place(next_step().inputs); }
std::vector<TensorView> Runner::next_outputs() const { return place(next_step().outputs); }

Status Runner::run_kernel(const Step& step, const StepInfo& info, device::Team& team) {
  const Frame& frame = frames_.back();
  auto fill = [&](const std::vector<StepOperand>& operands, std::vector<TensorView>& views) {
    views.resize(operands.size());
    for (size_t i = 0; i < operands.size(); ++i) {
      const StepOperand& o = operands[i];
      views[i].dtype = o.view.dtype;
      views[i].shape = o.view.shape;
      views[i].data = o.buffer == kNoBuffer ? nullptr : frame.addresses[static_cast<size_t>(o.buffer)];
    }
  };
  fill(step.inputs, inputs_);
  fill(step.outputs, outputs_);
  std::atomic<const char*> fault{nullptr};
  ops::KernelArgs args{.inputs = inputs_, .outputs = outputs_, .fault = &fault};
  if (step.scratch != kNoBuffer) args.scratch = frame.addresses[static_cast<size_t>(step.scratch)];
  step.kernel->run(args, team);
  if (const char* message = fault.load(std::memory_order_relaxed))
    return invalid_argument("node '" + info.node + "' (" + info.op + "): " + message);
  return {};
}

Tensor Runner::take_output(size_t) {
  MOTET_CHECK(false, "the extents of a compiled program's outputs are known");
  return {};
}

void Runner::advance() {
  ++frames_.back().next;
  frames_.back().unit = 0;
  while (!frames_.empty() && frames_.back().next == frames_.back().program->body.size()) {
    done_ = frames_.back().ends_at;
    frames_.pop_back();
  }
}

Status Runner::step_whole(device::Team& team) {
  const Frame& frame = frames_.back();
  const Step& step = next_step();
  Status status = run_kernel(step, frame.program->infos[frame.next], team);
  done_ += step.count();
  advance();
  return status;
}

void Runner::skip_step() {
  for (const TensorView& view : next_outputs())
    if (view.data != nullptr) std::memset(view.data, 0, view.bytes());
  done_ += next_step().count();
  advance();
}

Status Runner::step(device::Team& team) {
  MOTET_CHECK(!done(), "a step after the last");
  const Step& step = next_step();
  if (step.branch) {
    ++frames_.back().next;
    ++done_;
    enter(step);
    // A side without steps ends at once.
    while (!frames_.empty() && frames_.back().next == frames_.back().program->body.size()) {
      done_ = frames_.back().ends_at;
      frames_.pop_back();
    }
    return {};
  }
  device::SliceTeam slice(team, step.parts);
  if (step.slices.whole()) return step_whole(slice);
  Frame& frame = frames_.back();
  const Slices& slices = step.slices;
  const int first = frame.unit;
  const int last = slices.reach(first, team.width(), frame.program->quantum);
  slice.select(slices.units, first, last);
  Status status = run_kernel(step, frame.program->infos[frame.next], slice);
  for (int end : slices.ends) done_ += end > first && end <= last ? 1 : 0;
  frame.unit = last;
  if (last == slices.units.total) advance();
  return status;
}

}  // namespace motet::engine
