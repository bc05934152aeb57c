// Eviction: weights are a cache. What is dropped first is worth least by its memory: the time that keeping it is
// expected to save each second, which is how often it is asked for times how long it would take to load again, over the
// bytes that it takes. Pure.
//
// A load is never cheaper than its bytes, whatever was measured: they are read or mapped, touched for the first time
// and one day unmapped, much of it by the executions that follow. So of models that all load quickly, from packed
// weights on disk, those that are asked for most stay, however large; one that takes long to compile stays longer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/id.h"
#include "base/units.h"

namespace motet::brain {

// Something loaded that nobody uses now and that could be loaded again.
struct Resident {
  InstanceId instance;
  uint64_t bucket = 0;  // which of its shapes
  Bytes bytes;          // of memory that dropping it gives back
  Nanos load_time;      // what a load of it takes
  double per_s = 0;     // queries a second, as of late
};

// Those to drop so that `needed` bytes at least come free: the least worth first, and of these none that is not needed
// once the others are gone. Equal ones by instance and bucket. Empty if all together are not enough.
std::vector<Resident> choose_victims(std::span<const Resident> residents, Bytes needed);

}  // namespace motet::brain
