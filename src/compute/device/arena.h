// Arena: the activation memory of one execution, or one large output of it: one block, 64-byte aligned, huge pages
// asked for when large. Whoever creates it has charged it to a budget first. Not thread-safe; content is uninitialised.
// Memory of ended arenas is kept for the next ones (256 MiB at most in the process, uncharged), so that a server in
// steady state maps nothing.
#pragma once

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "base/units.h"

namespace motet::device {

class Arena {
 public:
  // An Error (kResourceExhausted) names the size if the machine refuses it.
  static Result<Arena> create(Bytes size);
  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  // Maps all of it now, so that nobody waits where a page is first written. Content is lost.
  void populate();

  std::byte* data() const { return block_.get(); }
  Bytes size() const { return size_; }

 private:
  struct Unmap {
    size_t bytes;
    void operator()(std::byte* p) const;
  };
  Arena(std::unique_ptr<std::byte[], Unmap> block, Bytes size) : block_(std::move(block)), size_(size) {}
  std::unique_ptr<std::byte[], Unmap> block_;
  Bytes size_;
};

// Memory kept for arenas to come, and giving it back to the machine. Any thread.
Bytes kept_arena_bytes();
void release_kept_arenas();

}  // namespace motet::device
