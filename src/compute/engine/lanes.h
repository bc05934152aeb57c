// Lanes: which steps of a program may run at once. A stage is a run of consecutive steps that falls into chains with
// nothing in common but what the stage reads; each chain is a lane. Private to compute/engine. Pure functions.
#pragma once

#include <span>
#include <vector>

#include "base/units.h"

namespace motet::engine {

// Steps of one lane, in order.
using Lane = std::vector<int>;
struct Stage {
  std::vector<Lane> lanes;
};

// What a step touches: buffers by number.
struct Footprint {
  std::vector<int> reads, writes;
  Nanos estimate;      // of the step, on one core
  bool alone = false;  // may not share a stage: a branch
};

// All steps in one lane.
std::vector<Stage> single_lane(size_t steps);

// Stages in order, their steps in order. A stage of several lanes is made where it is expected to be shorter than its
// steps one after another: greedily from the front, the stretch of steps that saves most.
std::vector<Stage> find_lanes(std::span<const Footprint> steps);

}  // namespace motet::engine
