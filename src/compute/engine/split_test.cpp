#include "compute/engine/split.h"

#include <gtest/gtest.h>

namespace motet::engine {
namespace {

using Sizes = std::vector<int64_t>;

Sizes programs(int64_t rows, const Sizes& compiled, bool padding = false) {
  Sizes sizes;
  int64_t sum = 0;
  for (const Slice& slice : split_rows(rows, compiled, padding)) {
    sizes.push_back(slice.program_rows);
    sum += slice.rows;
    EXPECT_LE(slice.rows, slice.program_rows);
    if (!padding) EXPECT_EQ(slice.rows, slice.program_rows);
  }
  if (!sizes.empty()) EXPECT_EQ(sum, rows);
  return sizes;
}

TEST(Split, TakesTheExactProgramOrTheFewestThatSum) {
  EXPECT_EQ(programs(8, {1, 2, 4, 8}), Sizes({8}));
  EXPECT_EQ(programs(7, {1, 2, 4, 8}), Sizes({4, 2, 1}));
  EXPECT_EQ(programs(6, {1, 3, 4}), Sizes({3, 3}));
  EXPECT_EQ(programs(5, {4, 2}), Sizes());
  EXPECT_EQ(programs(0, {1}), Sizes());
  EXPECT_EQ(programs(3, {}), Sizes());
}

TEST(Split, PadsOnlyWhereAllowed) {
  EXPECT_EQ(programs(3, {1, 4}, true), Sizes({4}));
  EXPECT_EQ(programs(3, {4}), Sizes());
  EXPECT_EQ(programs(1, {4}, true), Sizes({4}));
  EXPECT_EQ(programs(2, {1, 8}, true), Sizes({1, 1}));
  EXPECT_EQ(programs(9, {4}, true), Sizes({4, 4, 4}));
}

}  // namespace
}  // namespace motet::engine
