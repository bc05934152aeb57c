#include "compute/engine/compile/memory_plan.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace motet::engine {
namespace {

struct Range {
  size_t begin, end;
};

size_t aligned(size_t bytes) { return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment; }

// The tightest gap between `taken` (sorted by begin) that holds `bytes`, or the end of all.
size_t best_gap(std::span<const Range> taken, size_t bytes) {
  size_t best = SIZE_MAX;
  size_t best_size = SIZE_MAX;
  size_t reached = 0;
  for (const Range& range : taken) {
    if (range.begin > reached) {
      size_t gap = range.begin - reached;
      if (gap >= bytes && gap < best_size) {
        best = reached;
        best_size = gap;
      }
    }
    reached = std::max(reached, range.end);
  }
  return best == SIZE_MAX ? reached : best;
}

}  // namespace

MemoryPlan plan_memory(std::span<const Lifetime> buffers) {
  MemoryPlan plan;
  plan.offsets.assign(buffers.size(), 0);
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return buffers[a].bytes != buffers[b].bytes ? buffers[a].bytes > buffers[b].bytes : a < b;
  });
  std::vector<size_t> placed;
  std::vector<Range> taken;
  for (size_t i : order) {
    size_t bytes = aligned(buffers[i].bytes);
    plan.bytes_without_reuse += bytes;
    if (bytes == 0) continue;
    taken.clear();
    for (size_t j : placed) {
      bool apart = buffers[j].last < buffers[i].first || buffers[i].last < buffers[j].first;
      if (!apart) taken.push_back({plan.offsets[j], plan.offsets[j] + aligned(buffers[j].bytes)});
    }
    std::sort(taken.begin(), taken.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    plan.offsets[i] = best_gap(taken, bytes);
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + bytes);
    placed.push_back(i);
  }
  return plan;
}

}  // namespace motet::engine
