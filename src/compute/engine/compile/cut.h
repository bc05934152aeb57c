// From a graph to a program whose long steps are cut: lowered in parts, surveyed, and lowered again where the survey
// shows that other parts are better. What was found is kept in the model's cache and not measured again. Private to
// compute/engine. One thread at a time per model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "compute/engine/cache/model_cache.h"
#include "compute/engine/compile/lowering.h"
#include "compute/engine/compiled.h"

namespace motet::engine {

// How much is run to find the cuts.
enum class Care : uint8_t {
  kQuick,      // once
  kTimed,      // several rounds where the program is short
  kTightened,  // and where parts cost more than they should, with fewer
};

struct Cut {
  std::shared_ptr<CompiledProgram> program;
  Nanos total = kNever;      // on all its cores, as surveyed
  Care care = Care::kQuick;  // with which that was done, at least as much as was asked for
};

// Where what is measured of a program is kept.
struct Memo {
  ModelCache& cache;
  const std::vector<Shape>& shapes;
  const CompileOptions& options;

  std::string key(const LoweringOptions& lowering) const;
};

Result<Cut> lower_cut(const std::shared_ptr<const graph::Graph>& graph, LoweringOptions lowering, Care care,
                      const Memo& memo);

}  // namespace motet::engine
