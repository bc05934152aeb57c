#include "compute/engine/compile/memory_plan.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace motet::engine {
namespace {

TEST(MemoryPlan, BuffersThatLiveTogetherNeverOverlap) {
  Random random(3, "lifetimes");
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Lifetime> buffers;
    for (int64_t n = random.between(0, 40); n > 0; --n) {
      auto first = static_cast<int>(random.below(30));
      buffers.push_back({static_cast<size_t>(random.below(5000)), first, first + static_cast<int>(random.below(6))});
    }
    MemoryPlan plan = plan_memory(buffers);
    ASSERT_EQ(plan.offsets.size(), buffers.size());
    EXPECT_LE(plan.bytes, plan.bytes_without_reuse);
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(plan.offsets[i] % kBufferAlignment, 0U);
      EXPECT_LE(plan.offsets[i] + buffers[i].bytes, plan.bytes);
      for (size_t j = 0; j < i; ++j) {
        bool together = buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
        bool overlap = plan.offsets[i] < plan.offsets[j] + buffers[j].bytes &&
                       plan.offsets[j] < plan.offsets[i] + buffers[i].bytes;
        if (buffers[i].bytes == 0 || buffers[j].bytes == 0) continue;
        ASSERT_FALSE(together && overlap) << "buffers " << i << " and " << j << " of trial " << trial;
      }
    }
  }
}

TEST(MemoryPlan, AChainNeedsTwoOfItsBuffers) {
  std::vector<Lifetime> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({640, i, i + 1});
  MemoryPlan plan = plan_memory(chain);
  EXPECT_EQ(plan.bytes, 1280U);
  EXPECT_EQ(plan.bytes_without_reuse, 6400U);
}

TEST(MemoryPlan, TakesTheTightestGap) {
  // Steps 0: two fences with gaps of 256 and 128 between them; the small buffer belongs in the small gap.
  std::vector<Lifetime> buffers = {{1024, 0, 9}, {256, 0, 0}, {512, 0, 9}, {128, 0, 0}, {448, 0, 9}, {128, 5, 5}};
  MemoryPlan plan = plan_memory(buffers);
  EXPECT_EQ(plan.bytes, 1024U + 256 + 512 + 128 + 448);
  EXPECT_LT(plan.offsets[5] + 128, plan.bytes + 1);
}

}  // namespace
}  // namespace motet::engine
