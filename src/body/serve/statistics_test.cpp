// What an answer's receiver finds in the figures: everything that belongs to it, from the moment that it is answered.
#include "body/serve/statistics.h"

#include <gtest/gtest.h>

#include "base/observe/metrics.h"

namespace motet::serve {
namespace {

Nanos us(int64_t n) { return Nanos(n * 1000); }

TEST(ModelCounters, AnExecutionIsCountedBeforeItsQueriesAndGetsTheTimeOfTheirOutputs) {
  observe::Registry registry;
  ModelCounters counters(registry, "m", 1, false);
  counters.execution(3, 1, us(5), us(100), us(200));
  api::ModelStatistics before = counters.statistics();
  EXPECT_EQ(before.execution_count, 1u);
  ASSERT_EQ(before.batches.size(), 1u);
  EXPECT_EQ(before.batches[0].batch_size, 3u);
  EXPECT_EQ(before.batches[0].compute_infer.ns, 100'000u);
  EXPECT_EQ(before.batches[0].compute_output.count, 1u);
  EXPECT_EQ(before.batches[0].compute_output.ns, 0u);

  counters.query_ok({us(130), us(10), us(5), us(100), us(7)}, 2, 3, true);
  counters.query_ok({us(140), us(10), us(5), us(100), us(4)}, 1, 3, true);
  api::ModelStatistics after = counters.statistics();
  EXPECT_EQ(after.inference_count, 3u);
  EXPECT_EQ(after.success.count, 2u);
  EXPECT_EQ(after.compute_output.ns, 11'000u);
  ASSERT_EQ(after.batches.size(), 1u);
  EXPECT_EQ(after.batches[0].compute_output.count, 1u) << "of one execution";
  EXPECT_EQ(after.batches[0].compute_output.ns, 11'000u) << "of both queries";
}

}  // namespace
}  // namespace motet::serve
