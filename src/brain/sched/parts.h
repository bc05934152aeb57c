// How a batch of n rows runs on compiled sizes: as the program for exactly n if there is one, else as the largest sizes
// that sum to n, one after another in one execution; padded to a larger size only where the model allows it and it is
// faster by prediction, or where nothing else fits. Pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "brain/sched/state.h"

namespace motet::brain {

struct PartsPlan {
  std::vector<StartPart> parts;  // empty: these rows cannot run
  LatencyBounds time;            // of all parts
  Bytes arena;                   // the largest of the parts': one runs at a time
};

// REQUIRES: rows >= 1, width >= 1, `programs` ascending by batch. `batched` false: the model has no batch extent, and
// its one program takes the query whole.
PartsPlan plan_parts(std::span<const Program> programs, int rows, int width, bool batched, bool allow_padding);

// The same without the list: what dispatchers ask again and again. p50 of kNever: these rows cannot run.
LatencyBounds parts_time(std::span<const Program> programs, int rows, int width, bool batched, bool allow_padding);

// The program that a part runs. REQUIRES: the part came from plan_parts over the same programs.
const Program& program_of(std::span<const Program> programs, const StartPart& part);

// "1, 2, 4": for errors.
std::string sizes_text(std::span<const Program> programs);

}  // namespace motet::brain
