// Arenas between executions. Mapping fresh pages for every query would cost more than many a small model computes, and
// the page faults of a large one would come in the midst of steps and hold up whoever waits for them to yield. So a few
// are kept, the last used first: at most kRetainedBytes in all, but always the last given. What is kept is idle memory
// of the process, like an allocator's; arenas in use are their executions' and are charged there. Any thread.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "compute/device/arena.h"

namespace motet::engine {

inline constexpr size_t kRetainedBytes = size_t{256} << 20;

// An arena of at least `bytes`, kept or new. An Error names the size if the machine refuses it.
Result<device::Arena> take_arena(size_t bytes);
// Keeps the arena for a later execution, or lets it go.
void give_arena(device::Arena arena);

}  // namespace motet::engine
