#include <gtest/gtest.h>

#include <cmath>

#include "base/core_set.h"
#include "base/math.h"
#include "base/random.h"
#include "base/result.h"
#include "base/units.h"

namespace motet {
namespace {

TEST(CoreSet, SaysWhichCores) {
  CoreSet s = CoreSet::range(0, 3) | CoreSet::single(70);
  EXPECT_EQ(s.to_string(), "0-2,70");
  EXPECT_EQ(s.size(), 4);
  EXPECT_EQ((s - CoreSet::single(0)).first(), 1);
  EXPECT_TRUE(s.includes(CoreSet::single(70)));
  EXPECT_FALSE(s.intersects(CoreSet::single(3)));
  EXPECT_EQ(CoreSet().to_string(), "none");
}

TEST(Units, NeverStaysNever) {
  EXPECT_EQ(kNever + Nanos::from_seconds(1), kNever);
  EXPECT_EQ(Nanos::from_seconds(int64_t{1} << 40), kNever);
  EXPECT_EQ((Nanos::from_millis(3) - Nanos::from_micros(500)).value, 2'500'000);
}

TEST(Result, CarriesTheErrorOut) {
  auto fails = []() -> Result<int> { return invalid_argument("no"); };
  auto outer = [&]() -> Result<int> {
    MOTET_ASSIGN(int v, fails());
    return v + 1;
  };
  ASSERT_FALSE(outer().ok());
  EXPECT_EQ(outer().error().message, "no");
}

TEST(Math, AgreesWithTheLibrary) {
  Random r(1, "math");
  for (int i = 0; i < 20000; ++i) {
    double x = std::ldexp(1.0 + r.uniform(), static_cast<int>(r.between(-1000, 1000)));
    EXPECT_NEAR(stable_log(x), std::log(x), 1e-15 * std::fabs(std::log(x)) + 1e-300);
    double y = (r.uniform() - 0.5) * 1400;
    EXPECT_NEAR(stable_exp(y) / std::exp(y), 1.0, 1e-15);
  }
  EXPECT_EQ(stable_exp(1000), INFINITY);
  EXPECT_EQ(stable_exp(-1000), 0.0);
}

TEST(Random, StreamsAreNamed) {
  Random a(7, "x"), b(7, "x"), c(7, "y");
  EXPECT_EQ(a.next(), b.next());
  EXPECT_NE(a.next(), c.next());
  double sum = 0;
  for (int i = 0; i < 100000; ++i) sum += a.exponential(2.0);
  EXPECT_NEAR(sum / 100000, 2.0, 0.05);
}

}  // namespace
}  // namespace motet
