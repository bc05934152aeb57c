#include "compute/ops/testing/harness.h"

#include <algorithm>
#include <cstring>

#include "base/clock.h"
#include "compute/device/slice_team.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/request.h"

namespace motet::ops::testing {
namespace {

constexpr size_t kGuard = 64;
constexpr std::byte kPattern{0x5A};
constexpr Layout kLayouts[] = {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c};

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
    return std::all_of(data() + size, data() + size + kGuard, [](std::byte b) { return b == kPattern; });
  }
  Tensor block;
  size_t size;
};

bool can_take(const TensorSpec& spec) {
  return spec.shape.size() == 4 && (spec.dtype == DType::kF32 || spec.dtype == DType::kBF16);
}

void reorder(const TensorSpec& from, const TensorSpec& to, std::byte* src, std::byte* dst) {
  if (from.layout == to.layout) {
    if (to.bytes() > 0) std::memcpy(dst, src, to.bytes());  // an empty tensor's pointer may be null
    return;
  }
  auto kernel = plan_reorder(from, to, 1);
  MOTET_CHECK(kernel.ok(), "layouts of one tensor can be exchanged");
  const Buffer scratch((*kernel)->scratch_bytes());
  const TensorView in{from.dtype, from.shape, src}, out{to.dtype, to.shape, dst};
  (*kernel)->run({{&in, 1}, {&out, 1}, scratch.data()}, device::Team::serial());
}

double element(DType dtype, const std::byte* data, int64_t i) {
  double value = 0;
  if (dtype == DType::kF16) return f16_to_float(reinterpret_cast<const uint16_t*>(data)[i]);
  if (dtype == DType::kBF16) return bf16_to_float(reinterpret_cast<const uint16_t*>(data)[i]);
  if (dtype == DType::kBool) return static_cast<double>(data[i] != std::byte{0});
  for_number_type(dtype, [&]<class T>(T) { value = static_cast<double>(reinterpret_cast<const T*>(data)[i]); });
  return value;
}

double rounding_unit(DType dtype) {
  switch (dtype) {
    case DType::kF64: return 0x1p-53;
    case DType::kF16: return 0x1p-11;
    case DType::kBF16: return 0x1p-8;
    default: return 0x1p-24;
  }
}

// The node in one layout, and its runs.
class Trial {
 public:
  Trial(const Case& c, Layout layout) : case_(c), layout_(layout) {
    node_.op = c.op;
    node_.domain = c.domain;
    node_.opset = c.opset;
    node_.attributes = c.attributes;
    node_.post_ops = c.post_ops;
    present_ = std::make_unique<bool[]>(c.inputs.size() + 1);
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      const bool constant = i < c.constant.size() && c.constant[i];
      present_[i] = c.inputs[i].owner() != nullptr;
      node_.inputs.push_back(present_[i] ? static_cast<graph::ValueId>(i) : graph::kNoValue);
      inputs_.push_back(present_[i] ? TensorSpec{c.inputs[i].dtype(), c.inputs[i].shape()} : TensorSpec{});
      if (!constant && can_take(inputs_.back())) inputs_.back().layout = layout;
      constants_.push_back(constant ? &c.inputs[i] : nullptr);
    }
    outputs_.push_back({c.dtype, c.expected.shape});
    for (const Expected& e : c.more) outputs_.push_back({e.dtype, e.values.shape});
    for (size_t o = 0; o < outputs_.size(); ++o) node_.outputs.push_back(static_cast<graph::ValueId>(100 + o));
  }

  bool has_layouts() const {
    return std::any_of(inputs_.begin(), inputs_.end(), can_take) ||
           std::any_of(outputs_.begin(), outputs_.end(), can_take);
  }

  Result<KernelPtr> plan(const Implementation& implementation, int parts) const {
    return implementation.plan(
        {node_, inputs_, {present_.get(), inputs_.size()}, constants_, outputs_, layout_, parts, case_.winograd});
  }

  // The outputs, row-major, of a run in one call with regions cut for `width`.
  std::vector<Tensor> run(const Kernel& kernel, int width, std::vector<std::string>& faults) const {
    Bound bound(*this, kernel);
    WideTeam team(width);
    kernel.run(bound.args(), team);
    return finish(kernel, bound, faults);
  }

  // The same in one call for each two of `cuts`, which are numbers of `units`.
  std::vector<Tensor> run(const Kernel& kernel, int parts, const device::UnitTable& units, const std::vector<int>& cuts,
                          std::vector<std::string>& faults) const {
    Bound bound(*this, kernel);
    device::SliceTeam team(device::Team::serial(), parts);
    for (size_t k = 0; k + 1 < cuts.size(); ++k) {
      team.select(units, cuts[k], cuts[k + 1]);
      kernel.run(bound.args(), team);
    }
    return finish(kernel, bound, faults);
  }

  device::UnitTable survey(const Kernel& kernel, int parts) const {
    Bound bound(*this, kernel);
    const SteadyClock clock;
    device::SurveyTeam team(parts, clock);
    kernel.run(bound.args(), team);
    team.finish();
    return team.table();
  }

 private:
  // What a kernel runs on.
  struct Bound {
    Bound(const Trial& trial, const Kernel& kernel) : scratch(kernel.scratch_bytes()) {
      for (size_t i = 0; i < trial.inputs_.size(); ++i) {
        TensorSpec given = trial.inputs_[i], wanted = trial.inputs_[i];
        const bool present = trial.present_[i];
        given.layout = Layout::kRowMajor;
        wanted.layout = kernel.input_layout(i);
        in.emplace_back(present ? wanted.bytes() : 0);
        if (present) reorder(given, wanted, trial.case_.inputs[i].view().data, in.back().data());
        in_views.push_back({given.dtype, given.shape, present ? in.back().data() : nullptr});
      }
      for (size_t o = 0; o < trial.outputs_.size(); ++o) {
        TensorSpec spec = trial.outputs_[o];
        spec.layout = kernel.output_layout(o);
        out.emplace_back(spec.bytes());
        out_views.push_back({spec.dtype, spec.shape, out.back().data()});
      }
      if (kernel.must_be_in_place()) {
        const auto from = static_cast<size_t>(kernel.output_in_place_of(0));
        std::copy_n(in_views[from].data, out[0].size, out[0].data());
        in_views[from].data = out[0].data();
      }
    }
    KernelArgs args() { return {in_views, out_views, scratch.data(), &fault}; }

    std::vector<Buffer> in, out;
    std::vector<TensorView> in_views, out_views;
    Buffer scratch;
    std::atomic<const char*> fault{nullptr};
  };

  std::vector<Tensor> finish(const Kernel& kernel, const Bound& bound, std::vector<std::string>& faults) const {
    if (bound.fault.load() != nullptr) faults.push_back(std::string("reports a fault: ") + bound.fault.load());
    if (!bound.scratch.intact()) faults.emplace_back("writes past the end of its scratch");
    std::vector<Tensor> plain;
    for (size_t o = 0; o < outputs_.size(); ++o) {
      if (!bound.out[o].intact()) faults.push_back("writes past the end of output " + std::to_string(o));
      TensorSpec spec = outputs_[o];
      spec.layout = kernel.output_layout(o);
      plain.push_back(Tensor::zeros(spec.dtype, spec.shape));
      reorder(spec, outputs_[o], bound.out[o].data(), plain.back().view().data);
      if (!padding_is_zero(spec, bound.out[o].data()))
        faults.emplace_back("leaves padding of a blocked layout that is not zero");
    }
    return plain;
  }

  static bool padding_is_zero(const TensorSpec& spec, const std::byte* data) {
    const int64_t block = spec.layout == Layout::kNChw16c ? 16 : spec.layout == Layout::kNChw8c ? 8 : 1;
    if (block == 1 || spec.shape[1] % block == 0) return true;
    const int64_t blocks = (spec.shape[1] + block - 1) / block, plane = spec.shape[2] * spec.shape[3];
    for (int64_t n = 0; n < spec.shape[0]; ++n) {
      const int64_t last = (n * blocks + blocks - 1) * plane * block;
      for (int64_t i = 0; i < plane * block; ++i) {
        if (i % block >= spec.shape[1] % block && element(spec.dtype, data, last + i) != 0) return false;
      }
    }
    return true;
  }

  const Case& case_;
  Layout layout_;
  graph::Node node_;
  std::unique_ptr<bool[]> present_;
  std::vector<TensorSpec> inputs_, outputs_;
  std::vector<const Tensor*> constants_;
};

// The first element that is out of bounds, in words; empty if none is.
std::string difference(const Tensor& got, const Array& want, const Array& magnitude, double roundings, double floor) {
  const double unit = rounding_unit(got.dtype());
  const bool narrow = got.dtype() == DType::kF16 || got.dtype() == DType::kBF16;
  for (int64_t i = 0; i < got.view().elements(); ++i) {
    const auto at = static_cast<size_t>(i);
    const double value = element(got.dtype(), got.view().data, i), right = want.values[at];
    if ((std::isnan(right) && std::isnan(value)) || value == right) continue;
    const double size = std::max(floor, magnitude.values.empty() ? std::abs(right) : magnitude.values[at]);
    const double bound = narrow ? unit * std::abs(right) + roundings * 0x1p-24 * size : roundings * unit * size;
    if (std::abs(value - right) <= bound) continue;
    return "element " + std::to_string(i) + " is " + std::to_string(value) + " where " + std::to_string(right) +
           " is right, " + std::to_string(std::abs(value - right) / (unit * std::max(size, 1e-300))) + " roundings off";
  }
  return {};
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t o = 0; o < a.size(); ++o) {
    const size_t bytes = a[o].view().bytes();
    if (bytes > 0 && std::memcmp(a[o].view().data, b[o].view().data, bytes) != 0) return false;
  }
  return true;
}

// Ends of slices that cover `units`: one by one if they are few, else in uneven pieces.
std::vector<int> cuts_of(int units) {
  std::vector<int> cuts;
  for (int u = 0; u <= units; ++u) {
    if (units <= 8 || u == 0 || u == 1 || u == units * 2 / 3 || u == units) cuts.push_back(u);
  }
  return cuts;
}

void check_kernel(const Case& c, const Trial& trial, const Kernel& kernel, int parts,
                  std::vector<std::string>& faults) {
  const std::vector<Tensor> whole = trial.run(kernel, parts, faults);
  for (size_t o = 0; o < whole.size(); ++o) {
    const std::string wrong = o == 0 ? difference(whole[0], c.expected, c.magnitude, c.roundings, c.floor)
                                     : difference(whole[o], c.more[o - 1].values, {}, c.roundings, c.floor);
    if (!wrong.empty()) faults.push_back("output " + std::to_string(o) + ": " + wrong);
  }
  if (!same_bits(whole, trial.run(kernel, 1, faults))) faults.emplace_back("its bits depend on the width");
  const device::UnitTable units = trial.survey(kernel, parts);
  if (!(units == trial.survey(kernel, parts))) faults.emplace_back("its regions change from run to run");
  if (units.total > 1 && !same_bits(whole, trial.run(kernel, parts, units, cuts_of(units.total), faults)))
    faults.emplace_back("its bits depend on where it is cut");
}

}  // namespace

Tensor tensor_of(DType dtype, const Array& array) {
  Tensor t = Tensor::zeros(dtype, array.shape);
  std::byte* data = t.view().data;
  for (size_t i = 0; i < array.values.size(); ++i) {
    const double v = array.values[i];
    if (dtype == DType::kF16) reinterpret_cast<uint16_t*>(data)[i] = float_to_f16(static_cast<float>(v));
    if (dtype == DType::kBF16) reinterpret_cast<uint16_t*>(data)[i] = float_to_bf16(static_cast<float>(v));
    if (dtype == DType::kBool) data[i] = static_cast<std::byte>(v != 0);
    for_number_type(dtype, [&]<class T>(T) { reinterpret_cast<T*>(data)[i] = static_cast<T>(v); });
  }
  return t;
}

Outcome check(const Case& c, std::span<const Implementation> list) {
  Outcome outcome;
  for (Layout layout : kLayouts) {
    const Trial trial(c, layout);
    if (layout != Layout::kRowMajor && !trial.has_layouts()) break;
    for (size_t k = 0; k < list.size(); ++k) {
      for (int parts : {1, 2, 3, 7}) {
        if (layout != Layout::kRowMajor && parts != 3) continue;
        const std::string what = c.op + " by " + std::string(list[k].name) + " in " + layout_name(layout) + ", " +
                                 std::to_string(parts) + " parts: ";
        std::vector<std::string> faults;
        Result<KernelPtr> kernel = trial.plan(list[k], parts);
        if (kernel.ok()) {
          if (c.refused) faults.emplace_back("is not refused");
          check_kernel(c, trial, **kernel, parts, faults);
          ++outcome.runs;
        } else if (kernel.error().message.empty()) {
          faults.emplace_back("refuses without a reason");
        } else if (k + 1 == list.size() && !c.refused) {
          faults.push_back("refuses: " + kernel.error().message);
        }
        for (const std::string& fault : faults) outcome.faults.push_back(what + fault);
      }
    }
  }
  return outcome;
}

std::vector<bool> accepted(const Case& c, std::span<const Implementation> list) {
  std::vector<bool> result(list.size());
  for (Layout layout : kLayouts) {
    const Trial trial(c, layout);
    for (size_t k = 0; k < list.size(); ++k) result[k] = result[k] || trial.plan(list[k], 2).ok();
  }
  return result;
}

}  // namespace motet::ops::testing
