#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "base/clock.h"
#include "bench/steps/steps.h"
#include "compute/device/slice_team.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runner.h"

namespace motet::steps {
namespace {

using engine::CompiledProgram;
using engine::Step;

// A program's memory, and its steps by key.
class Bench {
 public:
  static Result<std::unique_ptr<Bench>> create(const engine::ProgramPtr& program) {
    auto bench = std::make_unique<Bench>();
    bench->program_ = std::dynamic_pointer_cast<const CompiledProgram>(program);
    if (!bench->program_) return unsupported("a program that the native engine does not run has no slices");
    MOTET_ASSIGN(device::Arena arena, engine::take_arena(std::max<size_t>(64, bench->program_->arena)));
    bench->arena_.emplace(std::move(arena));
    std::memset(bench->arena_->data(), 0, bench->program_->arena);
    for (size_t i = 0; i < bench->program_->body.size(); ++i) bench->by_key_.emplace(bench->program_->body[i].key, i);
    return bench;
  }

  const CompiledProgram& program() const { return *program_; }
  const Step* find(const std::string& key) const {
    auto found = by_key_.find(key);
    return found == by_key_.end() ? nullptr : &program_->body[found->second];
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
    const engine::Buffer& buffer = program_->buffers[static_cast<size_t>(id)];
    if (buffer.kind == engine::Buffer::Kind::kConstant) return buffer.constant.view().data;
    if (buffer.kind == engine::Buffer::Kind::kArena) return arena_->data() + buffer.offset;
    auto& memory = outside_[id];
    memory.resize(std::max<size_t>(64, buffer.bytes));
    return memory.data();
  }
  std::vector<TensorView> place(const std::vector<engine::StepOperand>& operands) {
    std::vector<TensorView> views;
    for (const auto& operand : operands) {
      views.push_back(operand.view);
      if (operand.buffer != engine::kNoBuffer) views.back().data = address(operand.buffer);
    }
    return views;
  }

  std::shared_ptr<const CompiledProgram> program_;
  std::optional<device::Arena> arena_;
  std::map<std::string, size_t> by_key_;
  std::map<int, std::vector<std::byte>> outside_;  // inputs and outputs of the program
  SteadyClock clock_;
};

}  // namespace

Result<std::vector<Loss>> losses(const engine::ProgramPtr& sliced, const engine::ProgramPtr& whole, int runs) {
  MOTET_ASSIGN(auto cut, Bench::create(sliced));
  MOTET_ASSIGN(auto uncut, Bench::create(whole));
  std::vector<Loss> list;
  std::set<std::string> seen;
  for (size_t i = 0; i < cut->program().body.size(); ++i) {
    const Step& step = cut->program().body[i];
    const engine::StepInfo& info = cut->program().infos[i];
    const Step* other = uncut->find(step.key);
    if (!step.kernel || step.slices.whole() || other == nullptr) continue;
    std::string kind =
        info.op + " " + info.implementation + " " + std::to_string(info.flops) + " " + std::to_string(info.bytes_moved);
    for (const auto& operand : step.inputs) kind += " " + shape_to_string(operand.view.shape);
    if (!seen.insert(kind).second) continue;
    Nanos best_cut = kNever, best_whole = kNever;
    for (int run = 0; run < runs; ++run) {
      best_cut = std::min(best_cut, cut->time(step));
      best_whole = std::min(best_whole, uncut->time(*other));
    }
    list.push_back({info.op + " " + shape_to_string(step.outputs[0].view.shape), info.slices,
                    best_whole.seconds() * 1e6, best_cut.seconds() * 1e6});
  }
  return list;
}

}  // namespace motet::steps
