// What both fuzzers of the ONNX reader do with one file: read it, verify the graph, infer its shapes, run all passes.
// Anything but an Error or a sound graph ends the process.
#pragma once

#include <cstddef>
#include <span>

namespace motet::fuzz {

// True if the bytes were a model that could be read.
bool read_infer_and_rewrite(std::span<const std::byte> bytes);

}  // namespace motet::fuzz
