// The activation functions that recurrent ops name in their attributes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "compute/ops/kernel.h"

namespace motet::ops {

struct Activation {
  enum class Kind : uint8_t {
    kRelu,
    kTanh,
    kSigmoid,
    kLeakyRelu,
    kElu,
    kHardSigmoid,
    kThresholdedRelu,
    kScaledTanh,
    kAffine,
    kSoftsign,
    kSoftplus,
  };
  Kind kind = Kind::kTanh;
  float alpha = 0, beta = 0;
};

// Activations of all directions, `defaults` repeated unless the node names its own; alphas and betas are taken in order
// by the functions that have them.
Result<std::vector<Activation>> activations_of(const graph::Node& node, const std::vector<std::string_view>& defaults,
                                               size_t directions);

// x[i] = f(x[i])
void activate(const Activation& f, float* x, int64_t n);
void activate(const Activation& f, double* x, int64_t n);

}  // namespace motet::ops
