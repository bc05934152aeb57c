// ErrorMeter: how far the answers of one program are from those of another on the same inputs: the error of a reduced
// precision against fp32. One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "base/tensor/tensor.h"
#include "compute/engine/execution.h"

namespace motet::engine {

// Of one output, over all samples. Infinite where only one of the two is finite, or the shapes differ.
struct Departure {
  double max =
      0;  // the largest |other - exact| over the largest |exact|; of what is not floats, the share that differs
  double rms = 0;  // root of the mean square of other - exact, over that of exact; of what is not floats, `max`
};

class ErrorMeter {
 public:
  // The outputs of one sample, in the model's order, from the exact program and from the other one.
  void add(std::span<const Tensor> exact, std::span<const Tensor> other);

  std::vector<Departure> outputs() const;
  // The greatest `max` of all outputs; 0 without samples.
  double error() const;

 private:
  struct Sums {
    bool real = false;                     // of floating point
    double difference = 0, magnitude = 0;  // floats: the largest; else elements that differ, and all
    double squared_difference = 0, squared_exact = 0;
  };
  std::vector<Sums> sums_;
};

// Runs `query` on the calling thread and returns the outputs. `programs` are those of one shape and precision,
// ascending by batch; its rows go to the largest that they fill, what is left to the smallest. `batched` as in
// Execution. An Error is a fault of the data, or says that there is no memory. REQUIRES: programs are not empty.
Result<std::vector<Tensor>> run_alone(std::span<const ProgramPtr> programs, const QueryInputs& query, bool batched);

}  // namespace motet::engine
