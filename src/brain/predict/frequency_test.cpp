#include "brain/predict/frequency.h"

#include <gtest/gtest.h>

namespace motet::brain {
namespace {

TEST(Frequency, ForgetsWhatIsLongAgo) {
  Frequency f;
  EXPECT_EQ(f.per_s(Nanos(0)), 0);
  const auto seconds = static_cast<int>(Frequency::kMemory.seconds());
  for (int i = 1; i <= 100 * seconds; ++i) f.note(Nanos::from_millis(100 * i));  // ten a second, ten times as long
  Nanos end = Frequency::kMemory * 10;
  EXPECT_NEAR(f.per_s(end), 10, 0.2);
  EXPECT_NEAR(f.per_s(end + Frequency::kMemory), 10 * 0.3679, 0.1);
  EXPECT_LT(f.per_s(end + Frequency::kMemory * 20), 1e-6);
}

}  // namespace
}  // namespace motet::brain
