// Kernels: what runs one node with fixed shapes. For every op there is an ordered list of implementations, fastest
// first, the plain reference last (registry.h); each is asked in turn to plan the node and either returns a Kernel or
// refuses with the reason, which `motet inspect` shows.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/device/team.h"
#include "compute/graph/graph.h"

namespace motet::ops {

class Choices;      // compute/ops/support/choices.h
class WeightCache;  // compute/ops/onednn/weight_cache.h

// How the elements of an activation lie in memory. Only 4-D (N,C,H,W) tensors of f32, bf16, u8 or i8 take anything but
// row-major. Blocked forms pad C up to the block with zeros, and whoever writes one keeps the padding zero.
enum class Layout : uint8_t { kRowMajor, kNhwc, kNChw8c, kNChw16c };

struct TensorSpec {
  DType dtype = DType::kF32;
  Shape shape;  // logical extents, whatever the layout
  Layout layout = Layout::kRowMajor;

  // Size in memory with padding.
  size_t bytes() const;
  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

// A node to be planned. Views are valid during planning only, but constants outlive every kernel (the program keeps
// them), so a kernel may keep a pointer to their data or a packed copy of its own.
struct NodeRequest {
  const graph::Node& node;
  std::span<const TensorSpec> inputs;  // dtype kF32 and an empty shape where absent: see `present`
  std::span<const bool> present;
  std::span<const Tensor* const> constants;  // non-null where the input is known at compile time
  std::span<const TensorSpec> outputs;       // dtype and shape as inferred, row-major
  Layout preferred = Layout::kRowMajor;      // layout wanted for 4-D convolution-like nodes of this program
  // Parts that each of the kernel's parallel regions is cut into, at most; what team.width() will be when it runs. At
  // least as many as cores, more where the op is to be sliced.
  int max_width = 1;
  // Convolutions by Winograd's minimal filtering where there is a kernel for it (3x3, stride 1): half the
  // multiplications or fewer, more memory for weights, and rounding as conv/winograd.h says.
  bool winograd = false;
  WeightCache* weights = nullptr;  // packed weights shared by the programs of a model; null: pack privately
  // What was measured of ways to do the same; null: those that are usually the fastest are taken.
  Choices* choices = nullptr;
  // True when the compiler chose bf16 for operands of an f32 node: whoever could only widen them refuses, since f32
  // would be faster. Constants are f32 still.
  bool lowered = false;
  int cores = 1;  // that the kernel will run on, at most
  // True where every part of a region will have a thread of its own, so that parts may wait for one another.
  bool together = false;
};

// Where a kernel's operands are while it runs.
struct KernelArgs {
  std::span<const TensorView> inputs;  // data pointers; shapes as planned; absent inputs have null data
  std::span<const TensorView> outputs;
  std::byte* scratch = nullptr;  // scratch_bytes(), 64-byte aligned
  // Where a kernel reports a fault that depends on data (an index out of range): it stores a message of static lifetime
  // and goes on without reading or writing out of bounds; what it leaves in its outputs is then meaningless. Whoever
  // calls run() sets this to a flag that holds null, and fails the run if it holds anything afterwards. Null: faults
  // are not looked at.
  std::atomic<const char*>* fault = nullptr;

  void report_fault(const char* message) const {
    if (fault != nullptr) fault->store(message, std::memory_order_relaxed);
  }
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Does what planning left for later: generates code, packs weights. Any thread, several kernels at once; run() does
  // it where nobody has.
  virtual Status finish() const { return {}; }
  // False if run() does not look at input i: it has a copy of that constant in a form of its own.
  virtual bool reads(size_t input) const {
    (void)input;
    return true;
  }
  // Runs on `team`, whose width() is the number of parts that it was planned for. All work lies in regions of the team
  // (device/slice_team.h says why): what is done outside them is repeated for every slice. Called by one thread at a
  // time per set of operands; may be called concurrently from several executions with different operands, so it keeps
  // no mutable state.
  virtual void run(const KernelArgs& args, device::Team& team) const = 0;

  // "onednn jit_1x1:avx512_core", "reference"
  virtual std::string implementation() const = 0;
  // Layout in which it wants input i, and in which it leaves output i; the compiler inserts reorders.
  virtual Layout input_layout(size_t input) const {
    (void)input;
    return Layout::kRowMajor;
  }
  virtual Layout output_layout(size_t output) const {
    (void)output;
    return Layout::kRowMajor;
  }
  virtual size_t scratch_bytes() const { return 0; }
  // Output `o` may be the memory of input `i` (the compiler then lets them share if the input dies here), or must be:
  // fused residual addition in place. -1: no wish.
  virtual int output_in_place_of(size_t output) const {
    (void)output;
    return -1;
  }
  virtual bool must_be_in_place() const { return false; }
  // Bytes of packed weights it holds beside the constants.
  virtual size_t packed_bytes() const { return 0; }
  // True if parts of its regions wait for one another: it runs whole, on as many cores as one of its forms was made
  // for, and is never cut.
  virtual bool meets_barriers() const { return false; }
  // Floating-point operations of one run.
  virtual double flops() const { return 0; }
};

using KernelPtr = std::unique_ptr<Kernel>;

}  // namespace motet::ops
