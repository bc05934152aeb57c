// How a batch of n rows runs when there is no program for exactly n: as the largest compiled sizes that sum to n. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace motet::engine {

struct Slice {
  int64_t program_rows = 0;  // which compiled size
  int64_t rows = 0;          // rows of the batch it takes; fewer than program_rows means padding
};

// Slices whose rows sum to `rows`, with sizes from `compiled` (positive, any order): one slice where a size fits
// exactly, else the fewest. A rest smaller than every size is padded into the smallest size if `allow_padding`, and
// with padding allowed one larger program is taken where it wastes less than half of its rows. Empty if `rows` cannot
// be made up so.
std::vector<Slice> split_rows(int64_t rows, std::span<const int64_t> compiled, bool allow_padding);

}  // namespace motet::engine
