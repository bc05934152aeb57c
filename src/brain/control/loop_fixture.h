// What the tests of the loop share: options, and a model that batches up to eight rows. Not for production.
#pragma once

#include <string>
#include <utility>

#include "brain/control/virtual_body.h"

namespace motet::brain::testing {

inline LoopOptions options(int cores = 2) {
  LoopOptions o;
  o.cores = CoreSet::range(0, cores);
  o.memory_budget = Bytes(100'000);
  return o;
}

inline ModelSpec model(std::string name = "m") {
  ModelSpec spec;
  spec.settings.name = std::move(name);
  spec.settings.version = 1;
  spec.settings.max_batch = 8;
  spec.settings.dynamic_batching = true;
  return spec;
}

}  // namespace motet::brain::testing
