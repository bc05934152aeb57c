#include "compute/engine/arena_cache.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

namespace motet::engine {
namespace {

constexpr size_t kLeast = size_t{64} << 10;  // sizes below it are served alike

struct Shelf {
  std::mutex mutex;
  std::vector<device::Arena> arenas;  // the last given is last
  size_t bytes = 0;
};

Shelf& shelf() {
  static Shelf instance;
  return instance;
}

size_t size_of(const device::Arena& arena) { return static_cast<size_t>(arena.size().value); }

}  // namespace

Result<device::Arena> take_arena(size_t bytes) {
  bytes = std::max(bytes, kLeast);
  Shelf& s = shelf();
  {
    std::lock_guard lock(s.mutex);
    for (size_t i = s.arenas.size(); i-- > 0;) {
      size_t size = size_of(s.arenas[i]);
      if (size < bytes || size > 2 * bytes) continue;  // one far larger would be held from those that need it
      device::Arena arena = std::move(s.arenas[i]);
      s.arenas.erase(s.arenas.begin() + static_cast<std::ptrdiff_t>(i));
      s.bytes -= size;
      return arena;
    }
  }
  return device::Arena::create(Bytes(static_cast<int64_t>(bytes)));
}

void give_arena(device::Arena arena) {
  std::vector<device::Arena> dropped;  // unmapped outside the lock
  Shelf& s = shelf();
  std::lock_guard lock(s.mutex);
  s.bytes += size_of(arena);
  s.arenas.push_back(std::move(arena));
  while (s.bytes > kRetainedBytes && s.arenas.size() > 1) {
    s.bytes -= size_of(s.arenas.front());
    dropped.push_back(std::move(s.arenas.front()));
    s.arenas.erase(s.arenas.begin());
  }
}

}  // namespace motet::engine
