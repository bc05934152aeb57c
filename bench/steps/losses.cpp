#include <unistd.h>

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

// Twice what the last-level cache holds. Reading it leaves no operand in a cache: how much of some megabytes stays
// there from one run to the next is luck, differs by processes, and is no part of what is compared either.
class Eviction {
 public:
  Eviction() : memory_(std::clamp<size_t>(2 * last_level(), kLeast, kMost)) {}
  void run() {
    unsigned sum = 0;
    for (size_t at = 0; at < memory_.size(); at += 64) sum += static_cast<unsigned>(memory_[at]);
    read_ = sum;
  }

 private:
  static constexpr size_t kLeast = size_t{64} << 20, kMost = size_t{256} << 20;
  static size_t last_level() {
    const long bytes = ::sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or less: not known
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }

  std::vector<std::byte> memory_;
  volatile unsigned read_ = 0;  // so that reading is not left out
};

// Memory for programs that run in turn: where an operand lies is no part of what is compared.
struct Memory {
  device::Arena arena, scratch;
  Eviction eviction = {};
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

  // One run of a step on data of zeros, which lies where `placed`, of this program, has it: slice after slice, each as
  // a call of its own.
  Nanos time(const Step& step, const Step& placed) {
    std::vector<TensorView> inputs = place(placed.inputs), outputs = place(placed.outputs);
    std::atomic<const char*> fault{nullptr};
    ops::KernelArgs args{.inputs = inputs, .outputs = outputs, .scratch = memory_.scratch.data(), .fault = &fault};
    device::SliceTeam team(device::Team::serial(), step.parts);
    memory_.eviction.run();
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

size_t scratch_of(const CompiledProgram& program) {
  size_t most = 64;
  for (const Step& step : program.body)
    if (step.scratch != engine::kNoBuffer)
      most = std::max(most, program.buffers[static_cast<size_t>(step.scratch)].bytes);
  return most;
}

// True if operands have the same sizes, and outputs lie in the same inputs' memory: each step can then run where the
// other's operands lie.
bool same_operands(const CompiledProgram& a, const Step& of_a, const CompiledProgram& b, const Step& of_b) {
  auto bytes = [](const CompiledProgram& program, int id) {
    return id == engine::kNoBuffer ? size_t{0} : program.buffers[static_cast<size_t>(id)].bytes;
  };
  auto pattern = [&](const CompiledProgram& program, const Step& step) {
    std::vector<size_t> list;
    std::map<int, size_t> seen;
    for (const auto* operands : {&step.inputs, &step.outputs}) {
      for (const auto& operand : *operands) {
        list.push_back(bytes(program, operand.buffer));
        list.push_back(seen.emplace(operand.buffer, seen.size()).first->second);
      }
    }
    return list;
  };
  return pattern(a, of_a) == pattern(b, of_b);
}

}  // namespace

Result<std::vector<Loss>> losses(const engine::ProgramPtr& sliced, const engine::ProgramPtr& whole, int runs) {
  MOTET_ASSIGN(auto cut_program, compiled(sliced));
  MOTET_ASSIGN(auto whole_program, compiled(whole));
  const size_t bytes = std::max<size_t>({64, cut_program->arena, whole_program->arena});
  MOTET_ASSIGN(device::Arena arena, engine::take_arena(bytes));
  const size_t most_scratch = std::max(scratch_of(*cut_program), scratch_of(*whole_program));
  MOTET_ASSIGN(device::Arena scratch, engine::take_arena(most_scratch));
  Memory memory{std::move(arena), std::move(scratch)};
  std::memset(memory.arena.data(), 0, bytes);
  std::memset(memory.scratch.data(), 0, most_scratch);
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
    const bool alike = same_operands(*cut_program, step, *whole_program, *other);
    Nanos best_cut = kNever, best_whole = kNever;
    for (int run = 0; run < runs; ++run) {
      best_cut = std::min(best_cut, cut.time(step, step));
      best_whole = std::min(best_whole, alike ? cut.time(*other, step) : uncut.time(*other, *other));
    }
    const auto at = static_cast<size_t>(other - whole_program->body.data());
    list.push_back({info.op + " " + shape_to_string(step.outputs[0].view.shape),
                    whole_program->infos[at].implementation, info.implementation, info.slices,
                    best_whole.seconds() * 1e6, best_cut.seconds() * 1e6, info.loss});
  }
  return list;
}

}  // namespace motet::steps
