// NodePlans: how one node of a program runs once its inputs are there. Plans are kept by the inputs' types, extents and
// the values that planning read, a few per node, and shared by all executions. Private to compute/engine. Any thread.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/ops/kernel.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::engine {

struct NodePlan {
  ops::KernelPtr kernel;
  int parts = 1;                         // width of the team that it runs on
  std::vector<ops::TensorSpec> inputs;   // as the kernel takes them
  std::vector<ops::TensorSpec> outputs;  // as it leaves them
  // Where those layouts are not row-major: from and to row-major, in which values wait between nodes. Null elsewhere.
  std::vector<ops::KernelPtr> input_reorders, output_reorders;
  std::vector<Tensor> kept;  // the values that planning read
};

// An input of the node: its value, and whether it is the same in every run (a weight), so that kernels may pack it.
struct NodeInput {
  const Tensor* tensor = nullptr;  // null where absent
  bool constant = false;
};

class NodePlans {
 public:
  // `node` and `weights` outlive it. `parts`: into how many a kernel's regions are cut at most.
  NodePlans(const graph::Node& node, int parts, ops::WeightCache* weights)
      : node_(node), parts_(parts), weights_(weights) {}

  // The plan for these inputs, made now or earlier. An Error names the node.
  Result<std::shared_ptr<const NodePlan>> find_or_make(std::span<const NodeInput> inputs);

 private:
  Result<std::shared_ptr<const NodePlan>> make(std::span<const NodeInput> inputs) const;

  // Constant after construction.
  const graph::Node& node_;
  const int parts_;
  ops::WeightCache* const weights_;

  // Guarded by mutex_, which no one holds while planning.
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<const NodePlan>>> kept_;  // the last used first
};

}  // namespace motet::engine
