#include "brain/workload/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace motet::brain {
namespace {

std::vector<Nanos> first(ArrivalSpec spec, int n, uint64_t seed = 1) {
  auto arrivals = Arrivals::create(std::move(spec), seed, "test");
  EXPECT_TRUE(arrivals.ok());
  std::vector<Nanos> at;
  for (int i = 0; i < n; ++i) {
    std::optional<Nanos> next = arrivals->next_arrival();
    if (!next) break;
    at.push_back(*next);
  }
  return at;
}

int64_t within(const std::vector<Nanos>& at, Nanos from, Nanos to) {
  return std::count_if(at.begin(), at.end(), [&](Nanos t) { return t >= from && t < to; });
}

TEST(Arrivals, PoissonHasItsRateAndItsSpread) {
  std::vector<Nanos> at = first(PoissonArrivals{1000}, 100'000);
  EXPECT_NEAR(at.back().seconds(), 100, 2);
  double square = 0;
  for (size_t i = 1; i < at.size(); ++i) {
    double gap = (at[i] - at[i - 1]).seconds() * 1000;
    square += (gap - 1) * (gap - 1);
  }
  EXPECT_NEAR(square / static_cast<double>(at.size()), 1.0, 0.05) << "exponential gaps vary as much as they last";
}

TEST(Arrivals, EqualSeedsGiveEqualArrivals) {
  EXPECT_EQ(first(PoissonArrivals{50}, 100, 3), first(PoissonArrivals{50}, 100, 3));
  EXPECT_NE(first(PoissonArrivals{50}, 100, 3), first(PoissonArrivals{50}, 100, 4));
}

TEST(Arrivals, ConstantDoesNotDrift) {
  std::vector<Nanos> at = first(ConstantArrivals{3}, 3'000'001);
  EXPECT_EQ(at[0], Nanos(0));
  EXPECT_EQ(at[3], Nanos::from_seconds(1));
  EXPECT_EQ(at[3'000'000], Nanos::from_seconds(1'000'000));
}

TEST(Arrivals, BurstsComeAndGo) {
  std::vector<Nanos> at = first(BurstArrivals{100, 2000, Nanos::from_seconds(1), Nanos::from_seconds(5)}, 24'000);
  int64_t high = 0, low = 0;
  for (int64_t s = 0; s < 50; s += 5) {
    high += within(at, Nanos::from_seconds(s), Nanos::from_seconds(s + 1));
    low += within(at, Nanos::from_seconds(s + 1), Nanos::from_seconds(s + 5));
  }
  EXPECT_NEAR(static_cast<double>(high), 20'000, 600);
  EXPECT_NEAR(static_cast<double>(low), 4'000, 300);
  // Silence between bursts is passed over, not waited through.
  std::vector<Nanos> sparse = first(BurstArrivals{0, 1, Nanos(1000), Nanos::from_seconds(1)}, 3);
  EXPECT_EQ(sparse.size(), 3u);
  for (Nanos t : sparse) EXPECT_LT(t.value % 1'000'000'000, 1000);
}

TEST(Arrivals, TraceEnds) {
  auto trace = parse_trace("# offsets\n0\n0.5\r\n\n 2.25 \n");
  ASSERT_TRUE(trace.ok());
  EXPECT_EQ(first(*trace, 10), (std::vector<Nanos>{Nanos(0), Nanos(500'000'000), Nanos(2'250'000'000)}));
}

TEST(Arrivals, TraceOfCounts) {
  auto trace = parse_trace("second,count\n0,2\n1,0\n7,4\n");
  ASSERT_TRUE(trace.ok());
  EXPECT_EQ(*trace->at, (std::vector<Nanos>{Nanos(0), Nanos(500'000'000), Nanos(7'000'000'000), Nanos(7'250'000'000),
                                            Nanos(7'500'000'000), Nanos(7'750'000'000)}));
}

TEST(Arrivals, RefusesWhatIsNoTrace) {
  for (const char* text : {"1\nx\n", "2\n1\n", "-1\n", "1e99\n", "nan\n", "0,2\n3\n", "0,2\nx,y\n", "0,-1\n",
                           "1,5\n0,5\n", "0,1.5\n", "0,999999999999999999999\n", "1 2\n"}) {
    auto trace = parse_trace(text);
    ASSERT_FALSE(trace.ok()) << text;
    EXPECT_NE(trace.error().message.find("line "), std::string::npos) << trace.error().message;
    EXPECT_NE(trace.error().message.find("accepted"), std::string::npos) << trace.error().message;
  }
  EXPECT_TRUE(parse_trace("").ok());
}

TEST(Arrivals, RefusesWhatIsNoRate) {
  auto refused = [](ArrivalSpec spec) { return !Arrivals::create(std::move(spec), 1, "x").ok(); };
  EXPECT_TRUE(refused(PoissonArrivals{0}));
  EXPECT_TRUE(refused(PoissonArrivals{-1}));
  EXPECT_TRUE(refused(PoissonArrivals{0.0 / 0.0}));
  EXPECT_TRUE(refused(ConstantArrivals{1e300}));
  EXPECT_TRUE(refused(BurstArrivals{0, 0}));
  EXPECT_TRUE(refused(BurstArrivals{1, 1, Nanos(2), Nanos(1)}));
  EXPECT_TRUE(refused(TraceArrivals{}));
  EXPECT_TRUE(refused(TraceArrivals{std::make_shared<std::vector<Nanos>>(std::vector<Nanos>{Nanos(2), Nanos(1)})}));
}

}  // namespace
}  // namespace motet::brain
