// The error of a reduced precision on data: a model's exact program and its reduced one, run on the same samples. The
// figure by which a server decides whether a model may run so. Any thread; takes two runs a sample on the calling one.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/engine/error_meter.h"
#include "compute/engine/program.h"

namespace motet::engine {

struct OutputError {
  std::string output;
  double max = 0;  // as in Departure
  double rms = 0;
};

// One sample: a tensor per input, in the model's order.
using Sample = std::vector<Tensor>;

// Compiles both programs for each sample's shapes (kept by the model as by compile()) and runs them. `options` are
// those of the reduced program. An Error names what is wrong with a sample, or why the precision is refused. REQUIRES:
// at least one sample.
Result<std::vector<OutputError>> measure_error(Model& model, const CompileOptions& options,
                                               std::span<const Sample> samples);

// The greatest `max` of all outputs.
double worst(std::span<const OutputError> errors);

}  // namespace motet::engine
