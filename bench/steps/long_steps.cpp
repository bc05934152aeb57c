#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "bench/steps/drive.h"
#include "bench/steps/steps.h"
#include "compute/engine/arena_cache.h"
#include "compute/engine/runner.h"

namespace motet::steps {

Result<std::vector<LongStep>> long_steps(const engine::ProgramPtr& program, int width, int runs) {
  auto native = std::dynamic_pointer_cast<const engine::CompiledProgram>(program);
  if (!native) return unsupported("a program that the native engine does not run has one step");
  MOTET_ASSIGN(auto pool, device::Pool::create({.workers = width}));
  MOTET_ASSIGN(device::Arena arena, engine::take_arena(std::max<size_t>(64, native->arena)));
  const std::vector<Tensor> inputs = draw_inputs(*program);
  std::vector<std::byte*> in, out;
  std::vector<Tensor> outputs;
  for (const Tensor& tensor : inputs) in.push_back(tensor.view().data);
  for (const engine::Port& port : native->outputs()) {
    outputs.push_back(Tensor::zeros(port.dtype, port.shape));
    out.push_back(outputs.back().view().data);
  }
  std::vector<std::vector<std::vector<double>>> calls(native->body.size());  // per step and call of it, of every run
  Status failed;
  on_worker(*pool, 0, [&] {
    auto team = device::PoolTeam::create(*pool, 0, pool->cores());
    SteadyClock clock;
    for (int run = 0; run < runs && failed.ok(); ++run) {
      engine::Runner runner(*native, arena.data(), in, out);
      size_t before = native->body.size(), call = 0;
      while (!runner.done() && failed.ok()) {
        const size_t step = runner.next_index();
        call = step == before ? call + 1 : 0;
        before = step;
        const Nanos began = clock.now();
        failed = runner.step(*team, device::kAtOnce);
        const double us = (clock.now() - began).seconds() * 1e6;
        if (calls[step].size() <= call) calls[step].resize(call + 1);
        calls[step][call].push_back(us);
      }
    }
  });
  if (!failed.ok()) return failed.error();
  std::vector<LongStep> list;
  for (size_t i = 0; i < calls.size(); ++i) {
    LongStep worst;
    for (auto& samples : calls[i]) {
      std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2),
                       samples.end());
      const double median = samples[samples.size() / 2];
      worst.total_us += median;
      if (median > worst.us) worst.us = median;
    }
    const engine::StepInfo& info = native->infos[i];
    worst.calls = static_cast<int>(calls[i].size());
    worst.op = info.op + " " + info.implementation + " " + shape_to_string(native->body[i].outputs[0].view.shape);
    worst.predicted_us = info.predicted.seconds() * 1e6;
    if (worst.us * 1e-6 > native->quantum.seconds()) list.push_back(std::move(worst));
  }
  std::sort(list.begin(), list.end(), [](const LongStep& a, const LongStep& b) { return a.us > b.us; });
  return list;
}

}  // namespace motet::steps
