// What the kernels of this folder share: descriptions of tensors for oneDNN, fused post-ops, and a Kernel that runs a
// short list of primitives. Private to compute/ops/onednn; the only headers of oneDNN in the tree are included through
// here.
#pragma once

#include <atomic>
#include <dnnl.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compute/ops/kernel.h"
#include "compute/ops/onednn/onednn.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::ops::onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

const dnnl::engine& cpu_engine();

// The description of a tensor in memory; nothing for a type or rank that oneDNN does not hold, or an empty tensor.
std::optional<Desc> describe(const TensorSpec& spec);
// f32 in row-major order.
Desc row_major(const Dims& dims);
// f32 in the given layout. REQUIRES: four dims unless the layout is row-major.
Desc in_layout(const Dims& dims, Layout layout);
// The layout that `desc` has, if it is one of ours.
std::optional<Layout> layout_of(const Desc& desc);

// Where a primitive finds one of its operands.
struct Operand {
  enum class Kind : uint8_t { kInput, kOutput, kScratch, kFixed };
  Kind kind = Kind::kInput;
  size_t index = 0;            // input or output number; kScratch: byte offset
  std::byte* fixed = nullptr;  // kFixed: packed weights, kept alive by the kernel

  static Operand input(size_t i) { return {Kind::kInput, i, nullptr}; }
  static Operand output(size_t i) { return {Kind::kOutput, i, nullptr}; }
  static Operand scratch(size_t offset) { return {Kind::kScratch, offset, nullptr}; }
  static Operand constant(const WeightCache::Packed& packed) { return {Kind::kFixed, 0, packed->data()}; }
};

struct Binding {
  int argument;  // DNNL_ARG_...
  Operand operand;
  Desc desc;
};

// A Kernel of one or more primitives run in order. Built once by a plan function, then immutable but for a cache of
// memory objects, which is handed from run to run through one atomic pointer.
class PrimitiveKernel final : public Kernel {
 public:
  PrimitiveKernel(size_t inputs, size_t outputs);
  ~PrimitiveKernel() override;

  // Adds a primitive; its scratchpad is reserved here.
  void add(const dnnl::primitive_desc_base& description, dnnl::primitive primitive, std::vector<Binding> bindings);
  // Adds a copy between descriptions of the same tensor.
  void add_reorder(const Desc& from, const Operand& source, const Desc& to, const Operand& destination);
  // Reserves scratch of its own for the whole run.
  Operand reserve(size_t bytes);
  void keep(WeightCache::Packed packed);
  void set_input_layout(size_t input, Layout layout) { input_layouts_[input] = layout; }
  void set_output_layout(size_t output, Layout layout) { output_layouts_[output] = layout; }
  void allow_in_place(int input) { in_place_of_ = input; }
  void require_in_place(int input) {
    in_place_of_ = input;
    must_be_in_place_ = true;
  }
  void set_flops(double flops) { flops_ = flops; }
  void set_name(std::string name) { name_ = std::move(name); }

  void run(const KernelArgs& args, device::Team& team) const override;
  std::string implementation() const override { return "onednn " + name_; }
  Layout input_layout(size_t input) const override { return input_layouts_[input]; }
  Layout output_layout(size_t output) const override { return output_layouts_[output]; }
  size_t scratch_bytes() const override { return own_scratch_ + primitive_scratch_; }
  int output_in_place_of(size_t) const override { return in_place_of_; }
  bool must_be_in_place() const override { return must_be_in_place_; }
  bool sliceable() const override { return true; }
  size_t packed_bytes() const override;
  double flops() const override { return flops_; }

 private:
  struct Stage {
    dnnl::primitive primitive;
    std::vector<Binding> bindings;
    int parts;  // baked in when it was made; regions of this stage always have as many
  };
  struct Bound;  // memory objects for one run at a time

  std::vector<Stage> stages_;
  std::vector<Layout> input_layouts_, output_layouts_;
  std::vector<WeightCache::Packed> kept_;
  std::string name_;
  double flops_ = 0;
  size_t own_scratch_ = 0;        // reserve()d, at the start of the scratch
  size_t primitive_scratch_ = 0;  // the largest scratchpad, after it
  int in_place_of_ = -1;
  bool must_be_in_place_ = false;
  mutable std::atomic<Bound*> idle_{nullptr};
};

// Runs `plan`, turning oneDNN's exceptions into refusals.
template <class F>
Result<KernelPtr> guarded(F&& plan) {
  try {
    return plan();
  } catch (const dnnl::error& e) {
    return unsupported(std::string("oneDNN: ") + e.what());
  }
}

// True for the reference implementations inside oneDNN, which are slower than ours.
bool is_slow(const std::string& implementation);
// True for implementations that wait for one another inside a parallel region (GOMP_barrier), which parts must not do.
bool has_barriers(const std::string& implementation);

// How a node's fused post-ops are carried out.
struct FusedOps {
  dnnl::post_ops ops;
  int sum_input = -1;  // residual added in place, or -1
};
// The post-ops as oneDNN's, or an Error naming the one it cannot do.
Result<FusedOps> fuse(std::span<const graph::PostOp> post_ops);
// Attributes with a scratchpad that the caller supplies.
dnnl::primitive_attr attributes(const dnnl::post_ops& ops = {});
// Appends the post-ops to `kernel` as primitives of their own on `output`, in place.
Status append_separately(PrimitiveKernel& kernel, std::span<const graph::PostOp> post_ops, const Desc& output);

// A packed copy of constant `source` (described by `from`) in the form `to`, times `scale`.
WeightCache::Packed pack(WeightCache* cache, const Tensor& source, const Desc& from, const Desc& to,
                         float scale = 1.0F);

// The geometry of a window op (Conv, pooling) over the spatial extents of `input`.
struct Window {
  Dims kernel, strides, dilations, pad_begin, pad_end;  // dilations as oneDNN counts them: 0 is dense
};
// Reads kernel_shape (or `kernel`, if not empty), strides, dilations, pads and auto_pad; pad_end is what makes the
// output's extents come out.
Result<Window> read_window(const graph::Node& node, const Shape& input, const Shape& output, Dims kernel);

// Number of parts of the primitives made from now on, on this thread.
void set_parts(int width);
int current_parts();

// Creates a primitive description with as many parts as `width`, or with one part if the implementation that oneDNN
// picked uses barriers. The primitive is to be made and added before the next call.
template <class F>
auto with_width(int width, F&& make) -> decltype(make()) {
  set_parts(width);
  auto description = make();
  if (width > 1 && has_barriers(description.impl_info_str())) {
    set_parts(1);
    description = make();
  }
  return description;
}

// "inputs of type FP16", or nothing if all present inputs and outputs are f32 and not empty.
std::optional<Error> refuse_unless_f32(const NodeRequest& request);

}  // namespace motet::ops::onednn
