#include "compute/device/arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <string>

namespace motet::device {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
// Blocks given back are kept up to this much: a fresh mapping costs a page fault, and the zeroing of a page, for all it
// holds.
constexpr size_t kKeepBytes = size_t{256} << 20;
constexpr size_t kKeepBlocks = 64;

size_t rounded(size_t bytes) {
  size_t unit = bytes >= kHugePage ? kHugePage : kPage;
  return (bytes + unit - 1) / unit * unit;
}

// Maps `bytes` (rounded), on a huge page's boundary if it holds one; nullptr if the machine refuses.
std::byte* map_block(size_t bytes) {
  size_t slack = bytes >= kHugePage ? kHugePage : 0;
  void* mapped = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* start = static_cast<std::byte*>(mapped);
  if (slack == 0) return start;
  size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  if (before != 0) munmap(start, before);
  start += before;
  if (slack != before) munmap(start + bytes, slack - before);
  madvise(start, bytes, MADV_HUGEPAGE);  // a wish: a kernel without huge pages says no
  return start;
}

// Blocks that ended lives of arenas left, newest first. Any thread.
class Kept {
 public:
  // A block of `bytes` to twice that; nullptr if none. `bytes` becomes its size.
  std::byte* take(size_t& bytes) {
    std::lock_guard lock(mutex_);
    auto best = blocks_.end();
    for (auto it = blocks_.begin(); it != blocks_.end(); ++it) {
      bool fits = it->bytes >= bytes && it->bytes <= 2 * bytes;
      if (fits && (best == blocks_.end() || it->bytes < best->bytes)) best = it;
    }
    if (best == blocks_.end()) return nullptr;
    std::byte* start = best->start;
    bytes = best->bytes;
    total_ -= bytes;
    blocks_.erase(best);
    return start;
  }

  void give(std::byte* start, size_t bytes) {
    if (bytes > kKeepBytes) {
      munmap(start, bytes);
      return;
    }
    std::lock_guard lock(mutex_);
    blocks_.push_front({start, bytes});
    total_ += bytes;
    while (total_ > kKeepBytes || blocks_.size() > kKeepBlocks) drop_oldest();
  }

  void clear() {
    std::lock_guard lock(mutex_);
    while (!blocks_.empty()) drop_oldest();
  }

  size_t total() {
    std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  struct Block {
    std::byte* start;
    size_t bytes;
  };
  void drop_oldest() {
    munmap(blocks_.back().start, blocks_.back().bytes);
    total_ -= blocks_.back().bytes;
    blocks_.pop_back();
  }

  std::mutex mutex_;
  std::list<Block> blocks_;  // guarded by mutex_
  size_t total_ = 0;         // guarded by mutex_
};

Kept& kept() {
  static Kept& blocks = *new Kept;  // never destroyed: arenas may end after static destructors have begun
  return blocks;
}

}  // namespace

void Arena::Unmap::operator()(std::byte* p) const { kept().give(p, bytes); }

Result<Arena> Arena::create(Bytes size) {
  if (size.value < 0)
    return invalid_argument("an arena of " + std::to_string(size.value) + " bytes; 0 or more would do");
  if (size.value == 0) return Arena(std::unique_ptr<std::byte[], Unmap>(nullptr, Unmap{0}), size);
  constexpr int64_t kMost = int64_t{1} << 46;  // beyond any machine's address space for one mapping
  size_t bytes = size.value <= kMost ? rounded(static_cast<size_t>(size.value)) : 0;
  std::byte* start = nullptr;
  if (bytes != 0) {
    start = kept().take(bytes);
    if (start == nullptr) start = map_block(bytes);
    if (start == nullptr) {  // kept blocks may be what is missing
      kept().clear();
      start = map_block(bytes);
    }
  }
  if (start == nullptr) {
    return resource_exhausted("the machine refuses " + std::to_string(size.value) +
                              " bytes for the activations of one execution: " + std::strerror(ENOMEM));
  }
  return Arena(std::unique_ptr<std::byte[], Unmap>(start, Unmap{bytes}), size);
}

void Arena::populate() {
  const size_t bytes = block_.get_deleter().bytes;
#ifdef MADV_POPULATE_WRITE
  // Where the machine has no memory for it, touching it would end the process; a kernel before 5.14 knows no such call.
  if (madvise(data(), bytes, MADV_POPULATE_WRITE) == 0 || errno != EINVAL) return;
#endif
  for (size_t at = 0; at < bytes; at += kPage) static_cast<volatile std::byte*>(data())[at] = std::byte{0};
}

Bytes kept_arena_bytes() { return Bytes(static_cast<int64_t>(kept().total())); }
void release_kept_arenas() { kept().clear(); }

}  // namespace motet::device
