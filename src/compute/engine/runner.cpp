#include "compute/engine/runner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "compute/device/region.h"
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

std::string CompiledProgram::layout() const { return std::string(layout_name(preferred)); }

std::string_view layout_name(ops::Layout layout) {
  switch (layout) {
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

namespace {

std::byte* address_of(const std::vector<std::byte*>& addresses, const StepOperand& operand) {
  return operand.buffer == kNoBuffer ? nullptr : addresses[static_cast<size_t>(operand.buffer)];
}

void place(const std::vector<StepOperand>& operands, const std::vector<std::byte*>& addresses,
           std::vector<TensorView>& views) {
  views.resize(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    views[i].dtype = operands[i].view.dtype;
    views[i].shape = operands[i].view.shape;
    views[i].data = address_of(addresses, operands[i]);
  }
}

// `team` is the kernel's own.
Status run_kernel(const Step& step, const StepInfo& info, const std::vector<std::byte*>& addresses,
                  device::Team& team) {
  // Kept per thread for their memory: a step of a small model takes less than allocating them.
  thread_local std::vector<TensorView> inputs, outputs;
  place(step.inputs, addresses, inputs);
  place(step.outputs, addresses, outputs);
  std::atomic<const char*> fault{nullptr};
  ops::KernelArgs args{.inputs = inputs, .outputs = outputs, .fault = &fault};
  if (step.scratch != kNoBuffer) args.scratch = addresses[static_cast<size_t>(step.scratch)];
  step.kernel->run(args, team);
  if (const char* message = fault.load(std::memory_order_relaxed))
    return invalid_argument("node '" + info.node + "' (" + info.op + "): " + message);
  return {};
}

}  // namespace

Runner::Runner(const CompiledProgram& program, std::byte* arena, std::vector<std::byte*> inputs,
               std::vector<std::byte*> outputs) {
  push(program, arena, inputs, outputs, program.longest_path());
  settle();
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
      case Buffer::Kind::kConstant: frame.addresses.push_back(buffer.address()); break;
    }
  }
  open_stage(frame);
  frames_.push_back(std::move(frame));
}

void Runner::open_stage(Frame& frame) {
  if (frame.stage == frame.program->stages.size()) return;
  frame.lanes.assign(frame.program->stages[frame.stage].lanes.size(), Cursor());
}

void Runner::settle() {
  while (!frames_.empty()) {
    Frame& frame = frames_.back();
    const auto& stages = frame.program->stages;
    if (frame.stage == stages.size()) {
      done_ = frame.ends_at;
      frames_.pop_back();
      continue;
    }
    const auto& lanes = stages[frame.stage].lanes;
    for (size_t i = 0; i < lanes.size(); ++i)
      if (frame.lanes[i].at < lanes[i].size()) return;
    ++frame.stage;
    open_stage(frame);
  }
}

size_t Runner::next_lane() const {
  const Frame& frame = frames_.back();
  const auto& lanes = frame.program->stages[frame.stage].lanes;
  size_t i = 0;
  while (frame.lanes[i].at == lanes[i].size()) ++i;
  return i;
}

void Runner::enter(const Step& step) {
  const Frame& outer = frames_.back();
  size_t side = std::to_integer<int>(*address_of(outer.addresses, step.branch->condition)) != 0 ? 1 : 0;
  const CompiledProgram& taken = *step.branch->taken[side];
  std::vector<std::byte*> inputs;
  std::vector<std::byte*> outputs;
  for (const StepOperand& o : step.branch->inputs[side]) inputs.push_back(address_of(outer.addresses, o));
  for (const StepOperand& o : step.outputs) outputs.push_back(address_of(outer.addresses, o));
  std::byte* arena = step.scratch == kNoBuffer ? nullptr : outer.addresses[static_cast<size_t>(step.scratch)];
  int64_t longest = std::max(step.branch->taken[0]->longest_path(), step.branch->taken[1]->longest_path());
  push(taken, arena, inputs, outputs, done_ + longest);
}

size_t Runner::next_index() const {
  const size_t lane = next_lane();
  const Frame& frame = frames_.back();
  return static_cast<size_t>(frame.program->stages[frame.stage].lanes[lane][frame.lanes[lane].at]);
}

std::vector<TensorView> Runner::next_inputs() const {
  std::vector<TensorView> views;
  place(frames_.back().program->body[next_index()].inputs, frames_.back().addresses, views);
  return views;
}

std::vector<TensorView> Runner::next_outputs() const {
  std::vector<TensorView> views;
  place(frames_.back().program->body[next_index()].outputs, frames_.back().addresses, views);
  return views;
}

Tensor Runner::take_output(size_t) {
  MOTET_CHECK(false, "the extents of a compiled program's outputs are known");
  return {};
}

Status Runner::step_whole(device::Team& team) {
  Frame& frame = frames_.back();
  const size_t index = next_index();
  Status status = run_kernel(frame.program->body[index], frame.program->infos[index], frame.addresses, team);
  done_ += frame.program->body[index].count();
  ++frame.lanes[next_lane()].at;
  settle();
  return status;
}

void Runner::skip_step() {
  for (const TensorView& view : next_outputs())
    if (view.data != nullptr) std::memset(view.data, 0, view.bytes());
  done_ += frames_.back().program->body[next_index()].count();
  ++frames_.back().lanes[next_lane()].at;
  settle();
}

Runner::Call Runner::call(const Frame& frame, const Lane& lane, Cursor& cursor, device::Team& team,
                          const device::Stop& stop) const {
  const auto index = static_cast<size_t>(lane[cursor.at]);
  const Step& step = frame.program->body[index];
  const StepInfo& info = frame.program->infos[index];
  device::SliceTeam own(team, step.parts);
  Call result;
  if (step.slices.whole()) {
    result.status = run_kernel(step, info, frame.addresses, own);
    result.done = 1;
    result.predicted = info.predicted;
    ++cursor.at;
    return result;
  }
  const Slices& slices = step.slices;
  const int first = cursor.unit;
  const auto end = std::upper_bound(slices.ends.begin(), slices.ends.end(), first);
  MOTET_CHECK(end != slices.ends.end(), "a call begins before the last unit");
  own.select(slices.units, first, *end, stop);
  result.status = run_kernel(step, info, frame.addresses, own);
  const int last = own.reached();
  for (int end : slices.ends) result.done += end > first && end <= last ? 1 : 0;
  result.predicted = slices.before[static_cast<size_t>(last)] - slices.before[static_cast<size_t>(first)];
  cursor.unit = last;
  if (last == slices.units.total) cursor = {cursor.at + 1, 0};
  return result;
}

// A core's lanes, until the next call would go past the quantum.
void Runner::run_lanes(const Frame& frame, std::vector<Cursor>& cursors, LaneWork& work) const {
  const auto& lanes = frame.program->stages[frame.stage].lanes;
  Nanos spent;
  for (size_t i : work.lanes) {
    while (cursors[i].at < lanes[i].size()) {
      Call result = call(frame, lanes[i], cursors[i], device::Team::serial(), device::kAtOnce);
      work.done += result.done;
      work.status = std::move(result.status);
      spent += result.predicted;
      if (!work.status.ok()) return;
      const bool more = cursors[i].at < lanes[i].size();
      const Nanos next =
          more ? frame.program->infos[static_cast<size_t>(lanes[i][cursors[i].at])].longest_slice : Nanos(0);
      if (spent + next > frame.program->quantum) return;
    }
  }
}

Status Runner::step_lanes(Frame& frame, std::span<const size_t> open, device::Team& team) {
  const auto& lanes = frame.program->stages[frame.stage].lanes;
  std::vector<LaneWork> cores(std::min<size_t>(open.size(), static_cast<size_t>(team.width())));
  std::vector<std::pair<Nanos, size_t>> by_length;
  for (size_t i : open) {
    Nanos left;
    for (size_t at = frame.lanes[i].at; at < lanes[i].size(); ++at)
      left += frame.program->infos[static_cast<size_t>(lanes[i][at])].predicted;
    by_length.emplace_back(left, i);
  }
  std::sort(by_length.rbegin(), by_length.rend());
  for (auto [left, lane] : by_length) {  // the longest first, each to the core with the least to do
    auto least = std::min_element(cores.begin(), cores.end(), [](const LaneWork& a, const LaneWork& b) {
      return std::pair(a.left, a.lanes.size()) < std::pair(b.left, b.lanes.size());
    });
    least->lanes.push_back(lane);
    least->left += left;
  }
  auto body = [&](int core, int) {
    device::LaneScope scope;
    run_lanes(frame, frame.lanes, cores[static_cast<size_t>(core)]);
  };
  team.run(static_cast<int>(cores.size()), device::PartFunction(body));
  Status status;
  for (LaneWork& work : cores) {
    done_ += work.done;
    if (status.ok()) status = std::move(work.status);
  }
  return status;
}

Status Runner::step(device::Team& team, const device::Stop& stop) {
  MOTET_CHECK(!done(), "a step after the last");
  Frame& frame = frames_.back();
  const size_t lane = next_lane();
  const auto& lanes = frame.program->stages[frame.stage].lanes;
  const Step& next = frame.program->body[next_index()];
  if (next.branch) {
    ++frame.lanes[lane].at;
    ++done_;
    enter(next);
    settle();
    return {};
  }
  std::vector<size_t> open;
  if (lanes.size() > 1 && team.width() > 1)
    for (size_t i = 0; i < lanes.size(); ++i)
      if (frame.lanes[i].at < lanes[i].size()) open.push_back(i);
  Status status;
  if (open.size() > 1) {
    status = step_lanes(frame, open, team);
  } else {
    Call result = call(frame, lanes[lane], frame.lanes[lane], team, stop);
    done_ += result.done;
    status = std::move(result.status);
  }
  settle();
  return status;
}

}  // namespace motet::engine
