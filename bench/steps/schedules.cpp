#include <optional>
#include <span>

#include "bench/steps/drive.h"
#include "bench/steps/steps.h"
#include "compute/device/team.h"

namespace motet::steps {
namespace {

uint64_t hash_outputs(const engine::Execution& execution, const engine::Program& program) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a
  for (size_t o = 0; o < program.outputs().size(); ++o) {
    Tensor output = execution.output(0, o);
    for (std::byte byte : std::span(output.view().data, output.view().bytes()))
      hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001B3u;
  }
  return hash;
}

// One run under a drawn schedule. The hash, or nothing if it was killed.
Result<std::optional<uint64_t>> run_drawn(const engine::ProgramPtr& program, const std::vector<Tensor>& inputs,
                                          device::Pool& pool, Random& random, Schedules& counts) {
  MOTET_ASSIGN(auto execution, begin(program, inputs));
  const bool doomed = random.chance(0.1);
  engine::RunState state = engine::RunState::kPaused;
  int width = 0;
  while (state == engine::RunState::kPaused) {
    // A partition of its own for some steps: a leader, and others around it.
    CoreSet cores;
    const int leader = static_cast<int>(random.below(static_cast<uint64_t>(pool.size())));
    for (int core = 0; core < pool.size(); ++core)
      if (core == leader || random.chance(0.5)) cores.add(core);
    const auto steps = static_cast<int64_t>(random.between(1, 40));
    counts.resizes += cores.size() != width;
    width = cores.size();
    on_worker(pool, leader, [&] {
      auto team = device::PoolTeam::create(pool, leader, cores);
      for (int64_t i = 0; i < steps && state == engine::RunState::kPaused; ++i) state = execution->step(*team);
      if (state != engine::RunState::kPaused) return;
      execution->request_pause();
      state = execution->run(*team);
      execution->clear_pause();
    });
    ++counts.pauses;
    if (doomed && random.chance(0.2)) execution->request_kill();
  }
  if (state == engine::RunState::kFailed) return execution->failure();
  if (state == engine::RunState::kKilled) return std::optional<uint64_t>();
  return std::optional<uint64_t>(hash_outputs(*execution, *program));
}

}  // namespace

Result<Schedules> schedules(const engine::ProgramPtr& program, int width, int runs) {
  Schedules result;
  const std::vector<Tensor> inputs = draw_inputs(*program);
  MOTET_ASSIGN(auto whole, begin(program, inputs));
  if (whole->run(device::Team::serial()) != engine::RunState::kFinished) return whole->failure();
  result.hash = hash_outputs(*whole, *program);
  whole.reset();
  MOTET_ASSIGN(auto pool, device::Pool::create({.workers = width}));
  Random random(11, "schedules");
  for (int run = 0; run < runs;) {
    MOTET_ASSIGN(auto hash, run_drawn(program, inputs, *pool, random, result));
    if (!hash) {
      ++result.killed;
      continue;
    }
    result.different += *hash != result.hash;
    ++run;
  }
  return result;
}

}  // namespace motet::steps
