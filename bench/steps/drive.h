// An execution of one program on drawn inputs, and a way to run a function on a worker and wait for it. For this bench.
#pragma once

#include <cstring>
#include <future>
#include <memory>
#include <vector>

#include "base/random.h"
#include "compute/device/pool.h"
#include "compute/engine/execution.h"

namespace motet::steps {

// f32 in [-1, 1), ones for integers and bool.
inline std::vector<Tensor> draw_inputs(const engine::Program& program) {
  std::vector<Tensor> inputs;
  Random random(1, "steps");
  for (const engine::Port& port : program.inputs()) {
    inputs.push_back(Tensor::zeros(port.dtype, port.shape));
    const TensorView& view = inputs.back().view();
    if (port.dtype == DType::kF32)
      for (float& x : view.as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
    if (port.dtype == DType::kI64)
      for (int64_t& x : view.as<int64_t>()) x = 1;
    if (port.dtype == DType::kI32)
      for (int32_t& x : view.as<int32_t>()) x = 1;
    if (port.dtype == DType::kBool) std::memset(view.data, 1, view.bytes());
  }
  return inputs;
}

inline Result<std::unique_ptr<engine::Execution>> begin(const engine::ProgramPtr& program,
                                                        const std::vector<Tensor>& inputs) {
  engine::QueryInputs query;
  for (const Tensor& tensor : inputs) query.tensors.push_back(tensor.view());
  return engine::Execution::create({{program, 0}}, {std::move(query)}, false);
}

// `f` as a task of worker `core`; returns when it has ended.
template <class F>
void on_worker(device::Pool& pool, int core, F f) {
  struct Job {
    F& f;
    std::promise<void> done;
  } job{f, {}};
  auto ended = job.done.get_future();
  pool.submit(core, {[](void* argument) {
                       auto* mine = static_cast<Job*>(argument);
                       mine->f();
                       mine->done.set_value();
                     },
                     &job});
  ended.wait();
}

}  // namespace motet::steps
