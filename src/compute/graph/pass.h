// Passes: rewrites of a Graph, behind one runner that can disable each by name, times it, counts what it changed and,
// in debug builds, verifies the graph after it. A pass is a function; the ordered list is explicit (passes.cpp). One
// thread at a time.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "compute/graph/graph.h"

namespace motet::graph {

// Computes a node's outputs from constant inputs, for folding; engine/ supplies it from ops' reference kernels. Given
// one entry per node input (nullptr where absent). An Error means "cannot": the node stays.
using Evaluator = std::function<Result<std::vector<Tensor>>(const Node& node, std::span<const Tensor* const> inputs)>;

struct PassContext {
  Evaluator evaluate;                      // may be empty: nothing is folded
  std::map<std::string, int64_t> symbols;  // extents bound to symbols for this program, e.g. {"N", 8}
  bool int8 = false;                       // quantised ops have kernels on this CPU
  bool quantise = false;                   // the program may depart from fp32 as far as int8
};

struct Pass {
  std::string_view name;  // "fold-constants", "fuse-conv-bn": the name that disables it
  std::string_view what;  // one line for `motet inspect`
  Result<int> (*run)(Graph& graph, const PassContext& context);  // number of rewrites
};

// All passes in the order in which they run. Shape inference runs before the first and after each that reports a
// rewrite.
std::span<const Pass> all_passes();

struct PassReport {
  std::string name;
  int rewrites = 0;
  Nanos took;
  bool disabled = false;
};

// Runs all_passes() but those named in `disabled` (an unknown name is an Error listing the known ones).
Result<std::vector<PassReport>> run_passes(Graph& graph, const PassContext& context,
                                           const std::set<std::string>& disabled, const Clock& clock);

// Sets dtype and shape of every value it can, binding `symbols`; folds shape arithmetic through `evaluate` as it goes.
// An Error names the node, the op and the conflicting extents.
Status infer_shapes(Graph& graph, const PassContext& context);

}  // namespace motet::graph
