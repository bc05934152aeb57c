#include "compute/engine/compile/place.h"

#include <algorithm>
#include <limits>

#include "compute/engine/compile/memory_plan.h"

namespace motet::engine {
namespace {

constexpr int kForever = std::numeric_limits<int>::max();

}  // namespace

void find_stages(CompiledProgram& program, std::span<const Nanos> estimates, bool lanes) {
  if (!lanes) {
    program.stages = single_lane(program.body.size());
    return;
  }
  std::vector<Footprint> prints(program.body.size());
  for (size_t s = 0; s < prints.size(); ++s) {
    const Step& step = program.body[s];
    for (const StepOperand& o : step.inputs)
      if (o.buffer != kNoBuffer) prints[s].reads.push_back(o.buffer);
    for (const StepOperand& o : step.outputs)
      if (o.buffer != kNoBuffer) prints[s].writes.push_back(o.buffer);
    prints[s].estimate = estimates[s];
    prints[s].alone = step.branch != nullptr;
  }
  program.stages = find_lanes(prints);
  for (size_t stage = 0; stage < program.stages.size(); ++stage) {
    const auto& of_stage = program.stages[stage].lanes;
    for (size_t lane = 0; lane < of_stage.size(); ++lane)
      for (int s : of_stage[lane]) {
        program.infos[static_cast<size_t>(s)].stage = static_cast<int>(stage);
        program.infos[static_cast<size_t>(s)].lane = static_cast<int>(lane);
      }
  }
}

void lay_out(CompiledProgram& program) {
  std::vector<Lifetime> lives(program.buffers.size());
  for (size_t b = 0; b < lives.size(); ++b) lives[b] = {0, kForever, -1};
  auto touch = [&](int buffer, size_t step) {
    if (buffer == kNoBuffer) return;
    Lifetime& life = lives[static_cast<size_t>(buffer)];
    life.first = std::min(life.first, static_cast<int>(step));
    life.last = std::max(life.last, static_cast<int>(step));
  };
  for (size_t s = 0; s < program.body.size(); ++s) {
    const Step& step = program.body[s];
    for (const StepOperand& o : step.inputs) touch(o.buffer, s);
    for (const StepOperand& o : step.outputs) touch(o.buffer, s);
    touch(step.scratch, s);
  }
  // Steps of one stage may run at once: what one of them touches lives as long as the stage.
  for (const Stage& stage : program.stages) {
    if (stage.lanes.size() < 2) continue;
    int first = kForever, last = -1;
    for (const Lane& lane : stage.lanes) {
      first = std::min(first, lane.front());
      last = std::max(last, lane.back());
    }
    for (Lifetime& life : lives) {
      if (life.last < first || life.first > last) continue;
      life.first = std::min(life.first, first);
      life.last = std::max(life.last, last);
    }
  }
  for (size_t b = 0; b < lives.size(); ++b) {
    Buffer& buffer = program.buffers[b];
    if (buffer.kind == Buffer::Kind::kInput && lives[b].last < 0)
      buffer.bytes = 0;  // nobody reads it: nothing to stage
    bool in_arena = buffer.kind == Buffer::Kind::kArena || buffer.kind == Buffer::Kind::kInput;
    if (in_arena && lives[b].last >= 0) lives[b].bytes = buffer.bytes;
    if (buffer.kind == Buffer::Kind::kInput) lives[b].first = 0;  // staged before the first step
    if (lives[b].last < 0) lives[b].first = lives[b].last = 0;
  }
  MemoryPlan plan = plan_memory(lives);
  for (size_t b = 0; b < lives.size(); ++b) program.buffers[b].offset = plan.offsets[b];
  program.arena = plan.bytes;
  program.arena_without_reuse = plan.bytes_without_reuse;
}

}  // namespace motet::engine
