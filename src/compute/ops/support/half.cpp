#include <algorithm>

#include "compute/ops/support/adapt.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }
size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

void widen(DType dtype, const uint16_t* from, float* to, int64_t begin, int64_t end) {
  if (dtype == DType::kF16) {
    for (int64_t i = begin; i < end; ++i) to[i] = f16_to_float(from[i]);
  } else {
    for (int64_t i = begin; i < end; ++i) to[i] = bf16_to_float(from[i]);
  }
}

void narrow(DType dtype, const float* from, uint16_t* to, int64_t begin, int64_t end) {
  if (dtype == DType::kF16) {
    for (int64_t i = begin; i < end; ++i) to[i] = float_to_f16(from[i]);
  } else {
    for (int64_t i = begin; i < end; ++i) to[i] = float_to_bf16(from[i]);
  }
}

class HalfKernel final : public Kernel {
 public:
  static Result<KernelPtr> plan(const NodeRequest& request, PlanFunction plan) {
    auto self = std::make_unique<HalfKernel>();
    std::vector<TensorSpec> inputs(request.inputs.begin(), request.inputs.end());
    std::vector<TensorSpec> outputs(request.outputs.begin(), request.outputs.end());
    std::vector<const Tensor*> constants(request.constants.begin(), request.constants.end());
    self->constants_.resize(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      Operand operand = self->widened(inputs[i], request.present[i]);
      if (operand.half && i < constants.size() && constants[i] != nullptr) {
        self->constants_[i] = Tensor::zeros(DType::kF32, constants[i]->shape());
        const TensorView& wide = self->constants_[i].view();
        widen(operand.dtype, constants[i]->view().as<uint16_t>().data(), wide.as<float>().data(), 0, wide.elements());
        constants[i] = &self->constants_[i];
        operand.constant = true;
      }
      self->inputs_.push_back(operand);
    }
    for (size_t o = 0; o < outputs.size(); ++o)
      self->outputs_.push_back(self->widened(outputs[o], has_output(request, o)));
    const NodeRequest inner{request.node,      inputs,           request.present, constants, outputs,
                            Layout::kRowMajor, request.max_width};
    MOTET_ASSIGN(self->kernel_, plan(inner));
    return KernelPtr(std::move(self));
  }

  void run(const KernelArgs& args, device::Team& team) const override {
    std::vector<TensorView> inputs(args.inputs.begin(), args.inputs.end());
    std::vector<TensorView> outputs(args.outputs.begin(), args.outputs.end());
    for (size_t i = 0; i < inputs.size() && i < inputs_.size(); ++i) {
      const Operand& operand = inputs_[i];
      if (!operand.half || inputs[i].data == nullptr) continue;
      if (operand.constant) {
        inputs[i] = constants_[i].view();
        continue;
      }
      auto* wide = reinterpret_cast<float*>(args.scratch + operand.offset);
      const auto* from = reinterpret_cast<const uint16_t*>(inputs[i].data);
      team.for_range(operand.count, kGrain, [&](int64_t b, int64_t e) { widen(operand.dtype, from, wide, b, e); });
      inputs[i] = TensorView{DType::kF32, inputs[i].shape, reinterpret_cast<std::byte*>(wide)};
    }
    for (size_t o = 0; o < outputs.size() && o < outputs_.size(); ++o) {
      if (!outputs_[o].half || outputs[o].data == nullptr) continue;
      outputs[o] = TensorView{DType::kF32, outputs[o].shape, args.scratch + outputs_[o].offset};
    }
    kernel_->run({inputs, outputs, args.scratch + scratch_, args.fault}, team);
    for (size_t o = 0; o < outputs.size() && o < outputs_.size(); ++o) {
      const Operand& operand = outputs_[o];
      if (!operand.half || args.outputs[o].data == nullptr) continue;
      const auto* wide = reinterpret_cast<const float*>(args.scratch + operand.offset);
      auto* to = reinterpret_cast<uint16_t*>(args.outputs[o].data);
      team.for_range(operand.count, kGrain, [&](int64_t b, int64_t e) { narrow(operand.dtype, wide, to, b, e); });
    }
  }

  std::string implementation() const override { return kernel_->implementation() + " in f32"; }
  size_t scratch_bytes() const override { return scratch_ + kernel_->scratch_bytes(); }
  size_t packed_bytes() const override {
    size_t bytes = kernel_->packed_bytes();
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].constant) bytes += constants_[i].view().bytes();
    }
    return bytes;
  }
  double flops() const override { return kernel_->flops(); }

 private:
  struct Operand {
    bool half = false;
    bool constant = false;
    DType dtype = DType::kF32;
    int64_t count = 0;
    size_t offset = 0;  // of its f32 form in scratch
  };

  // Makes `spec` f32 and sets scratch aside for it.
  Operand widened(TensorSpec& spec, bool present) {
    Operand operand;
    spec.layout = Layout::kRowMajor;
    if (!present || !is_half(spec.dtype)) return operand;
    operand = {true, false, spec.dtype, elements(spec.shape), scratch_};
    spec.dtype = DType::kF32;
    scratch_ += aligned(spec.bytes());
    return operand;
  }

  std::vector<Operand> inputs_, outputs_;
  std::vector<Tensor> constants_;
  size_t scratch_ = 0;
  KernelPtr kernel_;
};

}  // namespace

Result<KernelPtr> plan_half_as_float(const NodeRequest& request, PlanFunction plan) {
  bool any = false;
  for (size_t i = 0; i < request.inputs.size(); ++i)
    any = any || (request.present[i] && is_half(request.inputs[i].dtype));
  for (size_t o = 0; o < request.outputs.size(); ++o)
    any = any || (has_output(request, o) && is_half(request.outputs[o].dtype));
  return any ? HalfKernel::plan(request, plan) : plan(request);
}

}  // namespace motet::ops
