#include "brain/predict/frequency.h"

#include <gtest/gtest.h>

namespace motet::brain {
namespace {

TEST(Frequency, ForgetsWhatIsLongAgo) {
  Frequency f;
  EXPECT_EQ(f.per_s(Nanos(0)), 0);
  for (int i = 1; i <= 6000; ++i) f.note(Nanos::from_millis(100 * i));  // ten a second for ten minutes
  Nanos end = Nanos::from_seconds(600);
  EXPECT_NEAR(f.per_s(end), 10, 0.2);
  EXPECT_NEAR(f.per_s(end + Frequency::kMemory), 10 * 0.3679, 0.1);
  EXPECT_LT(f.per_s(end + Nanos::from_seconds(1200)), 1e-6);
}

}  // namespace
}  // namespace motet::brain
