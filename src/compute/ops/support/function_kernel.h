// A Kernel made of a callable: most kernels of ours are a few planned numbers and one function over them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compute/ops/kernel.h"

namespace motet::ops {

// What a kernel says of itself; the defaults suit a row-major kernel without scratch.
struct KernelTraits {
  std::string implementation = "reference";
  size_t scratch_bytes = 0;
  int in_place_of = -1;  // output 0 may be the memory of this input
  size_t packed_bytes = 0;
  double flops = 0;
  std::vector<Layout> input_layouts;  // row-major beyond its end
  Layout output_layout = Layout::kRowMajor;
};

template <class F>
class FunctionKernel final : public Kernel {
 public:
  FunctionKernel(F f, KernelTraits traits) : f_(std::move(f)), traits_(std::move(traits)) {}

  void run(const KernelArgs& args, device::Team& team) const override { f_(args, team); }
  std::string implementation() const override { return traits_.implementation; }
  Layout input_layout(size_t input) const override {
    return input < traits_.input_layouts.size() ? traits_.input_layouts[input] : Layout::kRowMajor;
  }
  Layout output_layout(size_t) const override { return traits_.output_layout; }
  size_t scratch_bytes() const override { return traits_.scratch_bytes; }
  int output_in_place_of(size_t output) const override { return output == 0 ? traits_.in_place_of : -1; }
  size_t packed_bytes() const override { return traits_.packed_bytes; }
  double flops() const override { return traits_.flops; }

 private:
  const F f_;
  const KernelTraits traits_;
};

// f(const KernelArgs&, device::Team&), const and without mutable state.
template <class F>
KernelPtr make_kernel(F f, KernelTraits traits = {}) {
  return std::make_unique<FunctionKernel<F>>(std::move(f), std::move(traits));
}

// Typed pointers to operands.
template <class T>
const T* input_data(const KernelArgs& args, size_t i) {
  return reinterpret_cast<const T*>(args.inputs[i].data);
}
template <class T>
T* output_data(const KernelArgs& args, size_t o) {
  return reinterpret_cast<T*>(args.outputs[o].data);
}

// Elements of cheap work below which a second core does not pay.
inline constexpr int64_t kGrain = 16384;

}  // namespace motet::ops
