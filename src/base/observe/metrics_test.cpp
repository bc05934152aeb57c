#include "base/observe/metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

namespace motet::observe {
namespace {

TEST(Counter, SumsOverThreads) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&counter] {
      for (int i = 0; i < 1000; ++i) counter.add();
      counter.add(5);
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(counter.value(), 12u * 1005u);
}

TEST(Gauge, AddsFromManyThreads) {
  Gauge gauge;
  gauge.set(10);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&gauge] {
      for (int i = 0; i < 500; ++i) gauge.add(0.5);
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_DOUBLE_EQ(gauge.value(), 10 + 4 * 250.0);
}

TEST(Histogram, UpperBoundsAreInclusive) {
  Histogram histogram({1, 2, 4});
  for (double v : {0.0, 1.0, 1.5, 2.0, 4.0, 4.5, -3.0}) histogram.observe(v);
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  HistogramSnapshot s = histogram.snapshot();
  EXPECT_EQ(s.counts, (std::vector<uint64_t>{3, 2, 1, 1}));
  EXPECT_EQ(s.count, 7u);
  EXPECT_DOUBLE_EQ(s.sum, 10.0);
}

TEST(Histogram, SnapshotsWhileThreadsObserve) {
  Histogram histogram({latency_bounds_s().begin(), latency_bounds_s().end()});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram] {
      for (int i = 0; i < 2000; ++i) histogram.observe(0.001 * (i % 50));
    });
  }
  uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    uint64_t now = histogram.snapshot().count;
    EXPECT_GE(now, last);
    last = now;
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(histogram.snapshot().count, 8000u);
}

TEST(Histogram, QuantileInterpolatesWithinItsBucket) {
  Histogram histogram({10, 20, 40});
  EXPECT_EQ(histogram.snapshot().quantile(0.5), 0);
  for (int i = 0; i < 10; ++i) histogram.observe(5);
  for (int i = 0; i < 10; ++i) histogram.observe(15);
  HistogramSnapshot s = histogram.snapshot();
  EXPECT_DOUBLE_EQ(s.quantile(0.25), 5);
  EXPECT_DOUBLE_EQ(s.quantile(0.5), 10);
  EXPECT_DOUBLE_EQ(s.quantile(0.75), 15);
  EXPECT_DOUBLE_EQ(s.quantile(1), 20);
  histogram.observe(1000);
  EXPECT_DOUBLE_EQ(histogram.snapshot().quantile(1), 40) << "the overflow bucket answers its lower edge";
}

TEST(Bounds, Ascend) {
  for (std::span<const double> bounds : {latency_bounds_s(), batch_bounds()}) {
    for (size_t i = 1; i < bounds.size(); ++i) EXPECT_LT(bounds[i - 1], bounds[i]);
  }
  EXPECT_DOUBLE_EQ(latency_bounds_s().front(), 100e-6);
  EXPECT_DOUBLE_EQ(latency_bounds_s().back(), 100);
  EXPECT_DOUBLE_EQ(batch_bounds().back(), 1024);
}

TEST(Registry, SameNameAndLabelsIsTheSameMetric) {
  Registry registry;
  Counter& a = registry.counter("served", "Queries.", {{"model", "m"}, {"version", "1"}});
  Counter& b = registry.counter("served", "Queries.", {{"version", "1"}, {"model", "m"}});
  EXPECT_EQ(&a, &b) << "the order of labels does not matter";
  EXPECT_NE(&a, &registry.counter("served", "Queries.", {{"model", "n"}, {"version", "1"}}));
}

TEST(Registry, CollectsInOrder) {
  Registry registry;
  registry.gauge("z", "last", {}).set(2);
  registry.counter("a", "first", {{"model", "n"}}).add(3);
  registry.counter("a", "first", {{"model", "m"}}).add(1);
  registry.histogram("h", "middle", {}, batch_bounds()).observe(3);
  std::vector<Family> families = registry.collect();
  ASSERT_EQ(families.size(), 3u);
  EXPECT_EQ(families[0].name, "a");
  ASSERT_EQ(families[0].samples.size(), 2u);
  EXPECT_EQ(families[0].samples[0].labels, (Labels{{"model", "m"}}));
  EXPECT_EQ(families[0].samples[1].value, 3);
  EXPECT_EQ(families[1].kind, MetricKind::kHistogram);
  EXPECT_EQ(families[1].samples[0].histogram.counts[2], 1u);
  EXPECT_EQ(families[2].help, "last");
  EXPECT_EQ(families[2].samples[0].value, 2);
}

TEST(Registry, HidesAndBringsBack) {
  Registry registry;
  Counter& one = registry.counter("served", "", {{"model", "m"}, {"version", "1"}});
  one.add(7);
  registry.counter("served", "", {{"model", "m"}, {"version", "2"}}).add(9);
  registry.gauge("queue", "", {{"model", "m"}, {"version", "1"}}).set(1);
  registry.hide({{"version", "1"}, {"model", "m"}});
  std::vector<Family> families = registry.collect();
  ASSERT_EQ(families.size(), 1u);
  ASSERT_EQ(families[0].samples.size(), 1u);
  EXPECT_EQ(families[0].samples[0].value, 9);
  EXPECT_EQ(&registry.counter("served", "", {{"model", "m"}, {"version", "1"}}), &one);
  EXPECT_EQ(registry.collect()[0].samples[0].value, 7) << "what it counted is kept";
}

TEST(Registry, MakesMetricsWhileOthersCollect) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry, t] {
      for (int i = 0; i < 50; ++i)
        registry.counter("c", "", {{"t", std::to_string(t)}, {"i", std::to_string(i)}}).add();
    });
  }
  for (int i = 0; i < 10; ++i) EXPECT_LE(registry.collect().size(), 1u);
  for (std::thread& t : threads) t.join();
  ASSERT_EQ(registry.collect().size(), 1u);
  EXPECT_EQ(registry.collect()[0].samples.size(), 200u);
}

TEST(RegistryDeathTest, OneNameHasOneKind) {
  Registry registry;
  registry.counter("x", "", {});
  EXPECT_DEATH(registry.gauge("x", "", {}), "two kinds");
}

}  // namespace
}  // namespace motet::observe
