#include "compute/engine/probe.h"

#include <thread>
#include <vector>

#include "compute/device/team.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runner.h"

namespace motet::engine {
namespace {

// Threads for the length of one region: the pool's workers belong to executions, and a program under compilation has
// none.
class ProbeTeam final : public device::Team {
 public:
  explicit ProbeTeam(int width) : width_(width) {}
  int width() const override { return width_; }
  bool concurrent(int) const override { return true; }
  void run(int parts, device::PartFunction f) override {
    std::vector<std::jthread> others;
    for (int part = 1; part < parts; ++part) others.emplace_back([=] { f(part, parts); });
    f(0, parts);
  }

 private:
  const int width_;
};

}  // namespace

std::set<std::string> find_barriers(const CompiledProgram& program, int width) {
  std::set<std::string> found;
  for (const Step& step : program.body) {
    if (!step.branch) continue;
    for (const auto& taken : step.branch->taken) found.merge(find_barriers(*taken, width));
  }
  auto arena = take_arena(program.arena);
  if (!arena.ok()) return found;
  std::vector<Tensor> tensors;
  std::vector<std::byte*> inputs;
  std::vector<std::byte*> outputs;
  auto place = [&](const std::vector<Port>& ports, std::vector<std::byte*>& addresses) {
    for (const Port& port : ports) {
      tensors.push_back(Tensor::zeros(port.dtype, port.shape));
      addresses.push_back(tensors.back().view().data);
    }
  };
  place(program.input_ports, inputs);
  place(program.output_ports, outputs);
  ProbeTeam team(width);
  Runner runner(program, arena->data(), std::move(inputs), std::move(outputs));
  while (!runner.done()) {
    const std::string key = runner.next_step().key;
    int64_t before = device::barrier_calls();
    (void)runner.step(team);  // zeros may be wrong data for a step; what follows is looked at all the same
    if (device::barrier_calls() != before) found.insert(key);
  }
  give_arena(std::move(*arena));
  return found;
}

}  // namespace motet::engine
