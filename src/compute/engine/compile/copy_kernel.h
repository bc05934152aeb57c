// A kernel that copies bytes as they are, padding included. Private to compute/engine.
#pragma once

#include <cstring>

#include "compute/ops/kernel.h"

namespace motet::engine {

class CopyKernel final : public ops::Kernel {
 public:
  explicit CopyKernel(size_t bytes, ops::Layout layout) : bytes_(bytes), layout_(layout) {}

  void run(const ops::KernelArgs& args, device::Team& team) const override {
    constexpr int64_t kGrainBytes = int64_t{1} << 18;  // below this a second core does not pay
    auto copy = [&](int64_t begin, int64_t end) {
      std::memcpy(args.outputs[0].data + begin, args.inputs[0].data + begin, static_cast<size_t>(end - begin));
    };
    team.for_range(static_cast<int64_t>(bytes_), kGrainBytes, copy);
  }
  std::string implementation() const override { return "copy"; }
  ops::Layout input_layout(size_t) const override { return layout_; }
  ops::Layout output_layout(size_t) const override { return layout_; }

 private:
  const size_t bytes_;
  const ops::Layout layout_;
};

}  // namespace motet::engine
