#include "brain/predict/latency.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace motet::brain {
namespace {

Nanos us(int64_t n) { return Nanos::from_micros(n); }

TEST(ProgramLatency, BeginsWithThePrediction) {
  ProgramLatency latency({us(100), us(60)});
  EXPECT_EQ(latency.at(1).p50, us(100));
  EXPECT_EQ(latency.at(1).p99, us(150));
  EXPECT_EQ(latency.at(2).p50, us(60));
  EXPECT_EQ(latency.at(7).p50, us(60)) << "beyond the table";
}

TEST(ProgramLatency, KnowsNothingAsAMicrosecond) {
  EXPECT_EQ(ProgramLatency({}).at(3).p50, us(1));
  ProgramLatency unmeasured({Nanos(0)});
  EXPECT_EQ(unmeasured.at(1).p50, us(1));
  for (int i = 0; i < 10; ++i) unmeasured.observe(1, us(700));
  EXPECT_EQ(unmeasured.at(1).p50, us(700));
}

TEST(ProgramLatency, FollowsTheMachine) {
  ProgramLatency latency({us(100), us(60)});
  for (int i = 0; i < 64; ++i) latency.observe(1, us(200));
  EXPECT_NEAR(static_cast<double>(latency.at(1).p50.value), 200'000, 500);
  EXPECT_LT(latency.at(1).p99, us(310));
  // Width 2 has not been measured: it borrows the ratio.
  EXPECT_NEAR(static_cast<double>(latency.at(2).p50.value), 120'000, 500);
  for (int i = 0; i < 200; ++i) latency.observe(1, us(50));
  EXPECT_NEAR(static_cast<double>(latency.at(1).p50.value), 50'000, 500);
  EXPECT_LT(latency.at(1).p99, us(60)) << "the upper bound comes down too";
  EXPECT_EQ(latency.samples(1), 264);
  EXPECT_EQ(latency.samples(2), 0);
}

TEST(ProgramLatency, ForgetsASlowSpellInAFewRuns) {
  ProgramLatency latency({us(100)});
  for (int i = 0; i < 50; ++i) latency.observe(1, us(1000));
  EXPECT_GT(latency.at(1).p50, us(900));
  for (int i = 0; i < 4; ++i) latency.observe(1, us(100));
  EXPECT_LT(latency.at(1).p50, us(220));
  EXPECT_LT(latency.at(1).p99, us(330));
}

TEST(ProgramLatency, OneWildMeasurementMovesLittle) {
  ProgramLatency first({us(100)});
  first.observe(1, Nanos::from_seconds(3600));
  EXPECT_EQ(first.at(1).p50, us(250)) << "not even the first";
  ProgramLatency latency({us(100)});
  for (int i = 0; i < 100; ++i) latency.observe(1, us(100));
  latency.observe(1, Nanos::from_seconds(3600));
  EXPECT_LT(latency.at(1).p50, us(140));
  latency.observe(1, Nanos(0));
  latency.observe(1, Nanos(-5));
  EXPECT_EQ(latency.samples(1), 101);
  EXPECT_GE(latency.at(1).p99, latency.at(1).p50);
}

TEST(ProgramLatency, UpperBoundCoversNinetyNineInAHundred) {
  ProgramLatency latency({us(100)});
  Random random(3, "latency");
  int above = 0;
  constexpr int kWarm = 2000, kCounted = 20000;
  for (int i = 0; i < kWarm + kCounted; ++i) {
    // A floor with an exponential tail, as service times have.
    Nanos measured(80'000 + static_cast<int64_t>(random.exponential(10'000)));
    if (i >= kWarm && measured > latency.at(1).p99) ++above;
    latency.observe(1, measured);
  }
  EXPECT_GT(above, kCounted / 1000);
  EXPECT_LT(above, kCounted / 40);
}

TEST(ProgramLatency, EqualMeasurementsGiveEqualBounds) {
  ProgramLatency a({us(100)}), b({us(100)});
  Random ra(9, "x"), rb(9, "x");
  for (int i = 0; i < 1000; ++i) {
    a.observe(1, Nanos(ra.between(1, 1'000'000)));
    b.observe(1, Nanos(rb.between(1, 1'000'000)));
  }
  EXPECT_EQ(a.at(1).p50, b.at(1).p50);
  EXPECT_EQ(a.at(1).p99, b.at(1).p99);
}

TEST(ProgramLatency, ExtremesDoNotOverflow) {
  ProgramLatency latency({kNever, Nanos(1)});
  latency.observe(1, Nanos(1));
  latency.observe(2, kNever);
  EXPECT_GT(latency.at(1).p50.value, 0);
  EXPECT_GT(latency.at(2).p50.value, 0);
}

}  // namespace
}  // namespace motet::brain
