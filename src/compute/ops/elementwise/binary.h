// What binary, comparing and variadic ops share: a loop over one run of elements, driven over a broadcast result.
#pragma once

#include "compute/ops/kernel.h"
#include "compute/ops/support/strided.h"

namespace motet::ops {

// y[i] = f(a[i * a_step], b[i * b_step]) for i < n; steps 0 or 1, in elements. y may be a or b.
using BinaryRun = void (*)(const void* a, int64_t a_step, const void* b, int64_t b_step, void* y, int64_t n);

// Loops for captureless f, with the common steps apart so that they become vector code.
template <class A, class B, class Y, class F>
BinaryRun run_of(F) {
  return [](const void* va, int64_t a_step, const void* vb, int64_t b_step, void* vy, int64_t n) {
    const auto* a = static_cast<const A*>(va);
    const auto* b = static_cast<const B*>(vb);
    auto* y = static_cast<Y*>(vy);
    F f;
    if (a_step == 1 && b_step == 1) {
      for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
    } else if (a_step == 1 && b_step == 0) {
      const B scalar = *b;
      for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], scalar);
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = f(a[i * a_step], b[i * b_step]);
    }
  };
}

// The sizes of one element of a, b and the result.
struct ElementBytes {
  int64_t a, b, y;
};

// Runs `run` over all of a broadcast result, spread over the team. Operands of `plan`: a, b.
void run_broadcast(const BroadcastPlan& plan, BinaryRun run, ElementBytes bytes, const std::byte* a, const std::byte* b,
                   std::byte* y, device::Team& team);

// The kernel of a node of two inputs; checks extents and the result's type.
Result<KernelPtr> plan_binary_run(const NodeRequest& request, BinaryRun run, DType result);

}  // namespace motet::ops
