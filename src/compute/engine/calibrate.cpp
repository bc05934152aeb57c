#include "compute/engine/calibrate.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "base/random.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runner.h"

namespace motet::engine {
namespace {

constexpr int kFewestRounds = 2;  // the first is cold
constexpr int kMostRounds = 6;

std::vector<Tensor> draw_inputs(const CompiledProgram& program) {
  std::vector<Tensor> inputs;
  Random random(1, "calibration");
  for (const Port& port : program.input_ports) {
    inputs.push_back(Tensor::zeros(port.dtype, port.shape));
    if (port.dtype != DType::kF32) continue;
    for (float& x : inputs.back().view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  }
  return inputs;
}

// What the longer side of a branch takes. Each is measured by itself: random data may only ever choose one, and a side
// that the inputs' shapes rule out faults.
Nanos longer_side(const Branch& branch, Nanos budget) {
  Nanos longest;
  for (const auto& side : branch.taken)
    if (auto measured = measure(*side, budget)) longest = std::max(longest, measured->total);
  return longest;
}

}  // namespace

std::optional<Measurement> measure(const CompiledProgram& program, Nanos budget) {
  auto arena = take_arena(program.arena);
  if (!arena.ok()) return std::nullopt;
  std::vector<Tensor> inputs = draw_inputs(program);
  std::vector<Tensor> outputs;
  std::vector<std::byte*> in;
  std::vector<std::byte*> out;
  for (const Tensor& tensor : inputs) in.push_back(tensor.view().data);
  for (const Port& port : program.output_ports) {
    outputs.push_back(Tensor::zeros(port.dtype, port.shape));
    out.push_back(outputs.back().view().data);
  }
  SteadyClock clock;
  Measurement best;
  best.steps.assign(program.body.size(), kNever);
  bool sound = true;
  Nanos begin = clock.now();
  Nanos last = begin;
  for (int round = 0; sound && round < kMostRounds; ++round) {
    if (round >= kFewestRounds && last - begin >= budget) break;
    std::vector<Nanos> steps(program.body.size());
    Runner runner(program, arena->data(), in, out, Runner::Branches::kSkip);
    last = clock.now();
    for (size_t i = 0; sound && !runner.done(); ++i) {
      sound = runner.step(device::Team::serial()).ok();
      Nanos now = clock.now();
      steps[i] = now - last;
      last = now;
    }
    for (size_t i = 0; i < steps.size(); ++i) best.steps[i] = std::min(best.steps[i], steps[i]);
  }
  give_arena(std::move(*arena));
  if (!sound) return std::nullopt;
  for (size_t i = 0; i < program.body.size(); ++i)
    if (program.body[i].branch) best.steps[i] += longer_side(*program.body[i].branch, budget);
  for (Nanos step : best.steps) best.total += step;
  return best;
}

}  // namespace motet::engine
