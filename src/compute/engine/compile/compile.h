// From a model's graph to a compiled program: shapes, passes, choice of layout, lowering, calibration. Private to
// compute/engine.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "compute/engine/cache/model_cache.h"
#include "compute/engine/compiled.h"
#include "compute/graph/graph.h"
#include "compute/graph/pass.h"
#include "compute/ops/onednn/weight_cache.h"

namespace motet::engine {

// Computes constant nodes by the plain reference.
graph::Evaluator reference_evaluator();

// `graph` with every input's extents set to `shapes`, and the extents bound to symbols. An Error names the input and
// what it takes.
struct Shaped {
  std::shared_ptr<graph::Graph> graph;
  std::map<std::string, int64_t> symbols;
};
Result<Shaped> with_shapes(const graph::Graph& graph, const std::vector<Shape>& shapes);

// How a model's convolutions are run, as measured: what its programs have in common.
struct ConvolutionChoice {
  ops::Layout layout = ops::Layout::kRowMajor;
  std::set<std::string> winograd;  // keys of the steps that use Winograd's method
};

struct Compiled {
  ProgramPtr program;
  bool calibrated = false;  // measuring would change nothing: it has been done, now or by what the cache remembers
};

// Compiles `prepared` for `shapes`. `choice` is what was chosen for this model before; where there is none yet and the
// options allow measuring, the candidates are timed and the fastest is left there. What `cache` remembers of the
// program is not measured again, and what is measured is left there. A graph that needs data for its shapes becomes a
// DynamicProgram.
Result<Compiled> compile_graph(const graph::Graph& prepared, const std::vector<Shape>& shapes,
                               const CompileOptions& options, ops::WeightCache& weights, ModelCache& cache,
                               std::optional<ConvolutionChoice>& choice);

}  // namespace motet::engine
