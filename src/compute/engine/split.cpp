#include "compute/engine/split.h"

#include <algorithm>
#include <limits>

namespace motet::engine {
namespace {

// Fewest sizes that sum to `rows` exactly, largest first; empty if none do. `sizes` descending.
std::vector<Slice> exact(int64_t rows, std::span<const int64_t> sizes) {
  constexpr int64_t kImpossible = std::numeric_limits<int64_t>::max();
  auto n = static_cast<size_t>(rows);
  std::vector<int64_t> count(n + 1, kImpossible);  // fewest slices that make i rows
  std::vector<int64_t> last(n + 1, 0);             // the largest slice of such a choice
  count[0] = 0;
  for (size_t i = 1; i <= n; ++i) {
    for (int64_t size : sizes) {
      if (size > static_cast<int64_t>(i)) continue;
      int64_t before = count[i - static_cast<size_t>(size)];
      if (before != kImpossible && before + 1 < count[i]) {
        count[i] = before + 1;
        last[i] = size;
      }
    }
  }
  std::vector<Slice> slices;
  if (count[n] == kImpossible) return slices;
  for (size_t i = n; i > 0; i -= static_cast<size_t>(last[i])) slices.push_back({last[i], last[i]});
  return slices;
}

}  // namespace

std::vector<Slice> split_rows(int64_t rows, std::span<const int64_t> compiled, bool allow_padding) {
  std::vector<int64_t> sizes;
  for (int64_t size : compiled)
    if (size > 0) sizes.push_back(size);
  std::sort(sizes.rbegin(), sizes.rend());
  if (rows < 1 || sizes.empty()) return {};
  std::vector<Slice> slices = exact(rows, sizes);
  if (!allow_padding || slices.size() == 1) return slices;
  auto larger = std::find_if(sizes.rbegin(), sizes.rend(), [&](int64_t size) { return size > rows; });
  if (larger != sizes.rend() && 2 * rows > *larger) return {{*larger, rows}};
  if (!slices.empty()) return slices;
  // No exact sum: whole slices of the largest sizes, and the rest padded.
  int64_t left = rows;
  for (int64_t size : sizes)
    for (; left >= size; left -= size) slices.push_back({size, size});
  if (left > 0) slices.push_back({sizes.back(), left});
  return slices;
}

}  // namespace motet::engine
