#include "compute/ops/testing/harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "compute/ops/registry.h"
#include "compute/ops/support/request.h"

namespace motet::ops::testing {
namespace {

constexpr size_t kGuard = 64;
constexpr std::byte kPattern{0x5A};

const char* layout_name(Layout layout) {
  switch (layout) {
    case Layout::kRowMajor: return "row-major";
    case Layout::kNhwc: return "nhwc";
    case Layout::kNChw8c: return "nChw8c";
    case Layout::kNChw16c: return "nChw16c";
  }
  return "?";
}

// Memory with a guard behind it, filled so that a read of what was never written shows.
struct Buffer {
  explicit Buffer(size_t bytes)
      : block(Tensor::zeros(DType::kU8, {static_cast<int64_t>(bytes + kGuard)})), size(bytes) {
    std::memset(data(), 0xFF, bytes);
    std::memset(data() + bytes, static_cast<int>(kPattern), kGuard);
  }
  std::byte* data() const { return block.view().data; }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (data()[size + i] != kPattern) return false;
    }
    return true;
  }
  Tensor block;
  size_t size;
};

bool can_take(const TensorSpec& spec) { return spec.shape.size() == 4 && spec.dtype == DType::kF32; }

void reorder(const TensorSpec& from, const TensorSpec& to, std::byte* src, std::byte* dst) {
  if (from.layout == to.layout) {
    if (to.bytes() > 0) std::memcpy(dst, src, to.bytes());  // an empty tensor's pointer may be null
    return;
  }
  auto kernel = plan_reorder(from, to, 1);
  ASSERT_TRUE(kernel.ok()) << kernel.error().message;
  const Buffer scratch((*kernel)->scratch_bytes());
  const TensorView in{from.dtype, from.shape, src}, out{to.dtype, to.shape, dst};
  (*kernel)->run({{&in, 1}, {&out, 1}, scratch.data()}, device::Team::serial());
}

class Run {
 public:
  Run(const Case& c, Layout layout) : case_(c), layout_(layout) {
    node_.op = c.op;
    node_.opset = c.opset;
    node_.attributes = c.attributes;
    node_.post_ops = c.post_ops;
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      const bool constant = i < c.constant.size() && c.constant[i];
      present_.push_back(c.inputs[i].view().data != nullptr);
      node_.inputs.push_back(present_.back() ? static_cast<graph::ValueId>(i) : graph::kNoValue);
      inputs_.push_back({c.inputs[i].dtype(), c.inputs[i].shape()});
      if (!constant && can_take(inputs_.back())) inputs_.back().layout = layout;
      constants_.push_back(constant ? &c.inputs[i] : nullptr);
    }
    node_.outputs.push_back(100);
    outputs_.push_back({DType::kF32, c.expected.shape});
  }

  // Plans with `implementation`; nothing if it refuses.
  Result<KernelPtr> plan(const Implementation& implementation) const {
    auto present = std::make_unique<bool[]>(present_.size());
    std::copy(present_.begin(), present_.end(), present.get());
    return implementation.plan({node_, inputs_, {present.get(), present_.size()}, constants_, outputs_, layout_, 3});
  }

  // Output 0, row-major, after a run on `team`.
  std::vector<float> run(const Kernel& kernel, device::Team& team, const std::string& what) const {
    std::vector<Buffer> buffers;
    std::vector<TensorView> views;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      TensorSpec wanted = inputs_[i];
      wanted.layout = kernel.input_layout(i);
      TensorSpec given = inputs_[i];
      given.layout = Layout::kRowMajor;
      buffers.emplace_back(present_[i] ? wanted.bytes() : 0);
      if (present_[i]) reorder(given, wanted, case_.inputs[i].view().data, buffers.back().data());
      views.push_back({given.dtype, given.shape, present_[i] ? buffers.back().data() : nullptr});
    }
    TensorSpec out = outputs_[0];
    out.layout = kernel.output_layout(0);
    Buffer result(out.bytes());
    if (kernel.must_be_in_place()) {
      const auto from = static_cast<size_t>(kernel.output_in_place_of(0));
      std::copy_n(views[from].data, out.bytes(), result.data());
      views[from].data = result.data();
    }
    const TensorView view{out.dtype, out.shape, result.data()};
    const Buffer scratch(kernel.scratch_bytes());
    std::atomic<const char*> fault{nullptr};
    kernel.run({views, {&view, 1}, scratch.data(), &fault}, team);
    EXPECT_EQ(fault.load(), nullptr) << what;
    EXPECT_TRUE(result.intact() && scratch.intact()) << what << " wrote past its end";
    std::vector<float> plain(static_cast<size_t>(elements(out.shape)));
    reorder(out, outputs_[0], result.data(), reinterpret_cast<std::byte*>(plain.data()));
    return plain;
  }

 private:
  const Case& case_;
  Layout layout_;
  graph::Node node_;
  std::vector<bool> present_;
  std::vector<TensorSpec> inputs_, outputs_;
  std::vector<const Tensor*> constants_;
};

void compare(const Case& c, const std::vector<float>& got, const std::string& what) {
  double scale = 1e-2;  // what is far smaller has lost its digits by cancellation
  for (double v : c.expected.values) {
    if (std::isfinite(v)) scale = std::max(scale, std::abs(v));
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = c.expected.values[i];
    const bool both_nan = std::isnan(want) && std::isnan(got[i]);
    if (both_nan || static_cast<double>(got[i]) == want) continue;
    ASSERT_LE(std::abs(got[i] - want), c.tolerance * scale)
        << what << ", element " << i << ": " << got[i] << " where " << want << " is right";
  }
}

}  // namespace

Tensor f32_tensor(const Array& array) {
  const std::vector<float> values(array.values.begin(), array.values.end());
  return Tensor::of<float>(array.shape, values);
}

int check_case(const Case& c) {
  const auto list = implementations("", c.op);
  EXPECT_FALSE(list.empty()) << c.op;
  int runs = 0;
  for (Layout layout : {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c}) {
    const Run run(c, layout);
    for (size_t k = 0; k < list.size(); ++k) {
      const std::string what = c.op + " by " + std::string(list[k].name) + " in " + layout_name(layout);
      Result<KernelPtr> kernel = run.plan(list[k]);
      if (!kernel.ok()) {
        EXPECT_LT(k + 1, list.size()) << what << " refuses: " << kernel.error().message;
        EXPECT_FALSE(kernel.error().message.empty()) << what << " refuses without a reason";
        continue;
      }
      const std::vector<float> alone = run.run(**kernel, device::Team::serial(), what);
      compare(c, alone, what);
      // The width may not show in the bits.
      WideTeam wide(3);
      const std::vector<float> spread = run.run(**kernel, wide, what);
      EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(alone)), std::as_bytes(std::span(spread))))
          << what << " differs at width 3";
      ++runs;
    }
  }
  return runs;
}

}  // namespace motet::ops::testing
