// Lowering: a graph with concrete shapes, already rewritten by the passes, becomes steps over buffers: kernels are
// planned in order, layouts follow from them with copies put in between where they differ (draft.h), reshapes become
// aliases, and the arena is laid out (place.h). Private to compute/engine. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "compute/engine/compiled.h"
#include "compute/graph/graph.h"
#include "compute/graph/pass.h"
#include "compute/ops/onednn/weight_cache.h"
#include "compute/ops/support/choices.h"

namespace motet::engine {

struct LoweringOptions {
  int max_width = 1;
  ops::Layout preferred = ops::Layout::kRowMajor;  // of convolutions and what follows them
  bool all_winograd = false;                       // NodeRequest::winograd for every convolution, or
  std::set<std::string> winograd;                  // for those of these keys
  ops::WeightCache* weights = nullptr;
  ops::Choices* choices = nullptr;
  Precision precision = Precision::kExact;
  bool lanes = false;                     // look for steps that may run at once
  Nanos quantum = kNever;                 // ops that may take longer are planned in more parts than cores
  std::map<std::string, int> parts;       // of every region, per step's key, where it is known better than by estimate
  std::set<std::string> disabled_passes;  // for the bodies of branches
  graph::Evaluator evaluate;
};

// An Error names the op that nothing implements, or the value whose shape depends on data.
Result<std::shared_ptr<CompiledProgram>> lower(std::shared_ptr<const graph::Graph> graph,
                                               const LoweringOptions& options);

// Finishes the kernels and constants of a program and of its branches, on as many threads as `threads`. An Error names
// the node that could not be finished.
Status finish(const CompiledProgram& program, int threads);

// True if a graph has a 4-D convolution, so that the preferred layout matters.
bool has_layout_choice(const graph::Graph& graph);

}  // namespace motet::engine
