#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/clock.h"
#include "bench/steps/steps.h"
#include "compute/device/slice_team.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runner.h"

namespace motet::steps {
namespace {

using engine::CompiledProgram;
using engine::Step;

Result<std::shared_ptr<const CompiledProgram>> compiled(const engine::ProgramPtr& program) {
  auto native = std::dynamic_pointer_cast<const CompiledProgram>(program);
  if (!native) return unsupported("a program that the native engine does not run has no slices");
  return native;
}

// Memory for programs that run in turn: where an operand lies is no part of what is compared.
struct Memory {
  device::Arena arena;
  std::map<std::pair<engine::Buffer::Kind, size_t>, std::vector<std::byte>> ports = {};
};

// A program's steps by key.
class Bench {
 public:
  Bench(const CompiledProgram& program, Memory& memory) : program_(program), memory_(memory) {
    for (size_t i = 0; i < program_.body.size(); ++i) by_key_.emplace(program_.body[i].key, i);
  }

  const Step* find(const std::string& key) const {
    auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &program_.body[found->second];
  }

  // One run of a step on data of zeros: slice after slice, each as a call of its own.
  Nanos time(const Step& step) {
    std::vector<TensorView> inputs = place(step.inputs), outputs = place(step.outputs);
    std::atomic<const char*> fault{nullptr};
    ops::KernelArgs args{.inputs = inputs, .outputs = outputs, .fault = &fault};
    if (step.scratch != engine::kNoBuffer) args.scratch = address(step.scratch);
    device::SliceTeam team(device::Team::serial(), step.parts);
    Nanos began = clock_.now();
    if (step.slices.whole()) {
      step.kernel->run(args, team);
    } else {
      int first = 0;
      for (int end : step.slices.ends) {
        team.select(step.slices.units, first, end);
        step.kernel->run(args, team);
        first = end;
      }
    }
    return clock_.now() - began;
  }

 private:
  std::byte* address(int id) {
    const engine::Buffer& buffer = program_.buffers[static_cast<size_t>(id)];
    if (buffer.kind == engine::Buffer::Kind::kConstant) return buffer.address();
    if (buffer.kind == engine::Buffer::Kind::kArena) return memory_.arena.data() + buffer.offset;
    auto& port = memory_.ports[{buffer.kind, buffer.port}];
    port.resize(std::max<size_t>({64, port.size(), buffer.bytes}));
    return port.data();
  }
  std::vector<TensorView> place(const std::vector<engine::StepOperand>& operands) {
    std::vector<TensorView> views;
    for (const auto& operand : operands) {
      views.push_back(operand.view);
      if (operand.buffer != engine::kNoBuffer) views.back().data = address(operand.buffer);
    }
    return views;
  }

  const CompiledProgram& program_;
  Memory& memory_;
  std::map<std::string, size_t> by_key_;
  SteadyClock clock_;
};

}  // namespace

Result<std::vector<Loss>> losses(const engine::ProgramPtr& sliced, const engine::ProgramPtr& whole, int runs) {
  MOTET_ASSIGN(auto cut_program, compiled(sliced));
  MOTET_ASSIGN(auto whole_program, compiled(whole));
  const size_t bytes = std::max<size_t>({64, cut_program->arena, whole_program->arena});
  MOTET_ASSIGN(device::Arena arena, engine::take_arena(bytes));
  Memory memory{std::move(arena)};
  std::memset(memory.arena.data(), 0, bytes);
  Bench cut(*cut_program, memory), uncut(*whole_program, memory);
  std::vector<Loss> list;
  std::set<std::string> seen;
  for (size_t i = 0; i < cut_program->body.size(); ++i) {
    const Step& step = cut_program->body[i];
    const engine::StepInfo& info = cut_program->infos[i];
    const Step* other = uncut.find(step.key);
    if (!step.kernel || step.slices.whole() || other == nullptr) continue;
    std::string kind =
        info.op + " " + info.implementation + " " + std::to_string(info.flops) + " " + std::to_string(info.bytes_moved);
    for (const auto& operand : step.inputs) kind += " " + shape_to_string(operand.view.shape);
    if (!seen.insert(kind).second) continue;
    Nanos best_cut = kNever, best_whole = kNever;
    for (int run = 0; run < runs; ++run) {
      best_cut = std::min(best_cut, cut.time(step));
      best_whole = std::min(best_whole, uncut.time(*other));
    }
    const auto at = static_cast<size_t>(other - whole_program->body.data());
    list.push_back({info.op + " " + shape_to_string(step.outputs[0].view.shape),
                    whole_program->infos[at].implementation, info.implementation, info.slices,
                    best_whole.seconds() * 1e6, best_cut.seconds() * 1e6, info.loss});
  }
  return list;
}

}  // namespace motet::steps
