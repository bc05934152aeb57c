// Warm-up: the samples of a model's model_warmup as tensors, and running them before the model is ready. Plain
// functions, called from the loader's thread.
#pragma once

#include <string>
#include <vector>

#include "body/serve/instance.h"
#include "wire/repo/warmup.h"

namespace motet::serve {

struct WarmupRun {
  std::string name;
  int runs = 1;
  bool holds_data = false;  // an error may be measured on it
  Sample sample;
};

// Zeros stay zero; random numbers come from a fixed stream: floats in [0, 1), integers 0 or 1, strings of one digit. An
// Error names the sample and the input. REQUIRES: the instance is read, but for its counters.
Result<std::vector<WarmupRun>> warmup_runs(const Instance& instance, const std::vector<repo::WarmupSample>& samples);

// Runs each as often as it says on the programs of its bucket, on the calling thread. An Error names the sample.
// REQUIRES: their buckets are compiled.
Status run_warmup(const Instance& instance, const std::vector<WarmupRun>& runs);

}  // namespace motet::serve
