// Kernels whose threads wait for one another: oneDNN's classic gemm, where its threads share what they have packed. It
// comes last in every list of oneDNN's but for the reference, which is slower than gemm on one core, so there is no
// other implementation to take instead. Such a kernel is made once for each number of cores, and runs whole, with
// exactly as many threads as the form that fits. With other threads it may sum in another order: a form is kept only
// if it gives, on made-up data, the bits of the form for one thread.
#include <algorithm>
#include <cstring>
#include <thread>

#include "base/random.h"
#include "compute/device/region.h"
#include "compute/ops/onednn/common.h"

namespace motet::ops::onednn {
namespace {

class WidthsKernel final : public Kernel {
 public:
  // forms[w] is for w + 1 cores; all have the same layouts and places.
  WidthsKernel(std::vector<KernelPtr> forms, bool shared_weights)
      : forms_(std::move(forms)), shared_weights_(shared_weights) {}

  Status finish() const override {
    for (const KernelPtr& form : forms_) MOTET_RETURN_IF_ERROR(form->finish());
    return {};
  }
  bool reads(size_t input) const override {
    return std::any_of(forms_.begin(), forms_.end(), [&](const KernelPtr& form) { return form->reads(input); });
  }
  void run(const KernelArgs& args, device::Team& team) const override {
    size_t width = forms_.size();
    while (width > 1 && !team.concurrent(static_cast<int>(width))) --width;
    forms_[width - 1]->run(args, team);
  }
  std::string implementation() const override { return forms_[0]->implementation(); }
  Layout input_layout(size_t input) const override { return forms_[0]->input_layout(input); }
  Layout output_layout(size_t output) const override { return forms_[0]->output_layout(output); }
  size_t scratch_bytes() const override {
    size_t most = 0;
    for (const KernelPtr& form : forms_) most = std::max(most, form->scratch_bytes());
    return most;
  }
  int output_in_place_of(size_t output) const override { return forms_[0]->output_in_place_of(output); }
  bool must_be_in_place() const override { return forms_[0]->must_be_in_place(); }
  size_t packed_bytes() const override {
    size_t sum = 0;
    for (const KernelPtr& form : forms_) sum += form->packed_bytes();
    return shared_weights_ ? forms_[0]->packed_bytes() : sum;
  }
  bool meets_barriers() const override { return true; }
  double flops() const override { return forms_[0]->flops(); }

 private:
  const std::vector<KernelPtr> forms_;
  const bool shared_weights_;
};

// A thread for each part, so that they may wait for one another; while loading, where no pool is at hand.
class ThreadPerPart final : public device::Team {
 public:
  explicit ThreadPerPart(int width) : width_(width) {}
  int width() const override { return width_; }
  bool concurrent(int parts) const override { return parts <= width_ && !device::this_thread().in_region; }
  void run(int parts, device::PartFunction f) override {
    if (!concurrent(parts)) {
      device::run_serially(parts, f);
      return;
    }
    auto part = [&](int i) {
      device::PartScope scope(i, parts);
      f(i, parts);
    };
    std::vector<std::jthread> others;  // after what they call: they are joined before it goes
    for (int i = 1; i < parts; ++i) others.emplace_back([&part, i] { part(i); });
    part(0);
  }

 private:
  const int width_;
};

size_t bytes_of(TensorSpec spec, Layout layout) {
  spec.layout = layout;
  return spec.bytes();
}

// Operands for proofs: small numbers in every input that is not constant. Where a constant wants another layout than
// the model's, its bytes are just numbers.
struct MadeUp {
  explicit MadeUp(const NodeRequest& request, const Kernel& kernel) {
    Random random(1, "widths");
    for (size_t i = 0; i < request.inputs.size(); ++i) {
      const TensorSpec& spec = request.inputs[i];
      const auto bytes = static_cast<int64_t>(request.present[i] ? bytes_of(spec, kernel.input_layout(i)) : 0);
      memory.push_back(Tensor::zeros(DType::kU8, {bytes}));
      inputs.push_back({spec.dtype, spec.shape, memory.back().view().data});
      if (request.constants[i] != nullptr) {
        const Reading reading = request.constants[i]->read();
        std::memcpy(inputs.back().data, reading.data,
                    std::min(static_cast<size_t>(bytes), request.constants[i]->bytes()));
      } else if (spec.dtype == DType::kF32) {
        auto* values = reinterpret_cast<float*>(inputs.back().data);
        for (int64_t e = 0; e < bytes / 4; ++e) values[e] = static_cast<float>(random.uniform() * 2 - 1);
      } else {
        for (int64_t b = 0; b < bytes; ++b) inputs.back().data[b] = static_cast<std::byte>(random.below(64));
      }
    }
  }

  // What `kernel` leaves in its outputs.
  std::vector<Tensor> results(const NodeRequest& request, const Kernel& kernel, device::Team& team) const {
    std::vector<Tensor> left;
    std::vector<TensorView> outputs;
    for (size_t o = 0; o < request.outputs.size(); ++o) {
      const TensorSpec& spec = request.outputs[o];
      left.push_back(Tensor::zeros(DType::kU8, {static_cast<int64_t>(bytes_of(spec, kernel.output_layout(o)))}));
      outputs.push_back({spec.dtype, spec.shape, left.back().view().data});
    }
    const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>(kernel.scratch_bytes())});
    kernel.run({.inputs = inputs, .outputs = outputs, .scratch = scratch.view().data}, team);
    return left;
  }

  std::vector<Tensor> memory;
  std::vector<TensorView> inputs;
};

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Tensor& x, const Tensor& y) {
    return std::memcmp(x.view().data, y.view().data, x.view().bytes()) == 0;
  });
}

bool same_places(const NodeRequest& request, const Kernel& a, const Kernel& b) {
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (a.input_layout(i) != b.input_layout(i)) return false;
  for (size_t o = 0; o < request.outputs.size(); ++o)
    if (a.output_layout(o) != b.output_layout(o) || a.output_in_place_of(o) != b.output_in_place_of(o)) return false;
  return a.implementation() == b.implementation() && a.must_be_in_place() == b.must_be_in_place();
}

}  // namespace

Result<KernelPtr> plan_widths(const NodeRequest& request, Result<KernelPtr> (*plan)(const NodeRequest&)) {
  MOTET_ASSIGN(KernelPtr alone, plan(request));
  if (request.cores < 2 || !has_barriers(alone->implementation())) return alone;
  if (alone->must_be_in_place()) return alone;
  const MadeUp data(request, *alone);
  const std::vector<Tensor> want = data.results(request, *alone, device::Team::serial());
  std::vector<KernelPtr> forms;
  forms.push_back(std::move(alone));
  for (int width = 2; width <= request.cores; ++width) {
    NodeRequest wider = request;
    wider.together = true;
    wider.max_width = width;
    auto made = plan(wider);
    if (!made.ok() || !same_places(request, *forms[0], **made)) break;
    ThreadPerPart team(width);
    if (!same_bits(data.results(request, **made, team), want)) break;
    forms.push_back(*std::move(made));
  }
  if (forms.size() == 1) return std::move(forms[0]);
  return KernelPtr(std::make_unique<WidthsKernel>(std::move(forms), request.weights != nullptr));
}

}  // namespace motet::ops::onednn
