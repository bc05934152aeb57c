#include "compute/engine/made_up.h"

#include "base/random.h"

namespace motet::engine {

std::vector<Tensor> make_up(const std::vector<Port>& ports) {
  std::vector<Tensor> tensors;
  Random random(1, "made up");
  for (const Port& port : ports) {
    tensors.push_back(Tensor::zeros(port.dtype, port.shape));
    if (port.dtype != DType::kF32) continue;
    for (float& x : tensors.back().view().as<float>()) x = static_cast<float>(random.uniform() * 2 - 1);
  }
  return tensors;
}

}  // namespace motet::engine
