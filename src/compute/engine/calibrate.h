// Times a program's steps on the calling thread. Private to compute/engine.
#pragma once

#include <optional>
#include <vector>

#include "base/units.h"
#include "compute/engine/compiled.h"

namespace motet::engine {

struct Measurement {
  std::vector<Nanos> steps;  // per step of the program's body, the shortest of the rounds; a branch: its longer side
  Nanos total;               // their sum: what a round takes when nothing else runs
};

// Rounds until `budget` is used, at least two and at most six. Inputs are drawn from a fixed
// stream (f32 in [-1, 1)), zero for other types. Nothing if the program faults on them or there is no memory.
std::optional<Measurement> measure(const CompiledProgram& program, Nanos budget);

}  // namespace motet::engine
