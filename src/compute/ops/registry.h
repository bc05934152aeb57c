// The explicit table op -> ordered implementations. Adding an implementation is one line in registry.cpp.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compute/ops/kernel.h"

namespace motet::ops {

struct Implementation {
  std::string_view name;  // "onednn", "reference", ...
  // Plans the node, or refuses: an Error whose message says what it cannot do ("group 3 with dilation 2").
  Result<KernelPtr> (*plan)(const NodeRequest& request);
};

// Empty for an op nobody implements.
std::span<const Implementation> implementations(std::string_view domain, std::string_view op);
// Every op with at least one implementation, sorted.
std::vector<std::string> supported_ops();

struct Refusal {
  std::string implementation;
  std::string reason;
};

struct Planned {
  KernelPtr kernel;
  std::vector<Refusal> refusals;  // by those asked before
};

// Asks each implementation in order. If all refuse: kUnsupported, naming op, version, dtypes and every reason.
Result<Planned> plan_kernel(const NodeRequest& request);

// A kernel that copies `from` to `to`, which differ in layout only, in at most `parts` parts.
Result<KernelPtr> plan_reorder(const TensorSpec& from, const TensorSpec& to, int parts);

// Computes `node` on constant inputs with the reference implementation; for folding (graph::Evaluator).
Result<std::vector<Tensor>> evaluate(const graph::Node& node, std::span<const Tensor* const> inputs);

}  // namespace motet::ops
