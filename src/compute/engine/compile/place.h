// Where the steps of a lowered program run and where its buffers lie: stages and lanes, then the arena. Private to
// compute/engine. Pure functions of the program.
#pragma once

#include <span>

#include "compute/engine/compiled.h"

namespace motet::engine {

// Puts every step in a stage and a lane; one lane unless `lanes` are asked for. `estimates` per step, upper ones.
void find_stages(CompiledProgram& program, std::span<const Nanos> estimates, bool lanes);
// Gives every buffer its place in the arena: buffers that live at once, or may, never overlap. REQUIRES: find_stages().
void lay_out(CompiledProgram& program);

}  // namespace motet::engine
