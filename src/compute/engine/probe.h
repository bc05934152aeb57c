// Finds steps whose kernels meet at a barrier inside a parallel region (oneDNN's classic gemm, for some shapes). Their
// parts must not share a thread, so such a node is compiled again with one part. Private to compute/engine.
#pragma once

#include <set>
#include <string>

#include "compute/engine/compiled.h"

namespace motet::engine {

// Runs the program once on zeros and every branch of it too, each part of a region on a thread of its own, and counts.
// The keys (Step::key) of steps that called a barrier. Nothing if there is no memory to run it.
std::set<std::string> find_barriers(const CompiledProgram& program, int width);

}  // namespace motet::engine
