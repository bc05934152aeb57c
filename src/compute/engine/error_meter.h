// ErrorMeter: how far the answers of one program are from those of another on the same inputs: the error of a reduced
// precision against fp32. One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "compute/engine/execution.h"

namespace motet::engine {

class ErrorMeter {
 public:
  // The outputs of one sample, in the model's order, from the exact program and from the other one.
  void add(std::span<const Tensor> exact, std::span<const Tensor> other);

  // The greatest over the outputs of: the largest |other - exact| over all samples, divided by the largest |exact| over
  // all samples; for outputs that are not of floating point, the share of elements that differ. Infinite where only one
  // of the two is finite, or the shapes differ. 0 without samples.
  double error() const;

 private:
  struct Output {
    double difference = 0;  // floats: the largest; else the number of elements that differ
    double magnitude = 0;   // floats: the largest; else the number of elements
  };
  std::vector<Output> outputs_;
};

// Runs `query` on the calling thread and returns the outputs. `programs` are those of one shape and precision, ascending
// by batch; its rows go to the largest that they fill, what is left to the smallest. `batched` as in Execution. An Error
// is a fault of the data, or says that there is no memory. REQUIRES: programs are not empty.
Result<std::vector<Tensor>> run_alone(std::span<const ProgramPtr> programs, const QueryInputs& query, bool batched);

}  // namespace motet::engine
