#include <atomic>
#include <thread>
#include <vector>

#include "compute/engine/compile/lowering.h"

namespace motet::engine {
namespace {

// What is to be finished, each alone.
struct Work {
  std::vector<std::pair<const Step*, const StepInfo*>> steps;
  std::vector<const Buffer*> constants;
};

void collect(const CompiledProgram& program, Work& work) {
  for (size_t i = 0; i < program.body.size(); ++i) {
    const Step& step = program.body[i];
    if (step.kernel) work.steps.emplace_back(&step, &program.infos[i]);
    if (step.branch)
      for (const auto& taken : step.branch->taken) collect(*taken, work);
  }
  for (const Buffer& buffer : program.buffers)
    if (buffer.packed) work.constants.push_back(&buffer);
}

}  // namespace

Status finish(const CompiledProgram& program, int threads) {
  Work work;
  collect(program, work);
  std::vector<Status> results(work.steps.size());
  std::atomic<size_t> next{0};
  auto take = [&] {
    for (size_t i = next++; i < work.steps.size() + work.constants.size(); i = next++) {
      if (i < work.steps.size()) {
        results[i] = work.steps[i].first->kernel->finish();
      } else {
        work.constants[i - work.steps.size()]->packed->prepare();
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(take);
    take();
  }
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].ok())
      return Error{results[i].error().code, "node '" + work.steps[i].second->node + "' (" + work.steps[i].second->op +
                                                "): " + results[i].error().message};
  return {};
}

}  // namespace motet::engine
