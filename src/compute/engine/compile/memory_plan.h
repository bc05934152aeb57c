// The memory plan: where in an arena each buffer lies, so that buffers whose lives overlap never do. Pure functions.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace motet::engine {

inline constexpr size_t kBufferAlignment = 64;

struct Lifetime {
  size_t bytes = 0;
  int first = 0;  // step that writes it
  int last = 0;   // last step that reads or writes it; >= first
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // one per buffer, each a multiple of kBufferAlignment
  size_t bytes = 0;             // the arena's size
  size_t bytes_without_reuse = 0;
};

// Places the largest first, each at the smallest gap that holds it among those placed whose lives overlap (best fit).
MemoryPlan plan_memory(std::span<const Lifetime> buffers);

}  // namespace motet::engine
