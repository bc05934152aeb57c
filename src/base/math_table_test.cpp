// log, exp and pow against the committed table, bit for bit, and the table against the C library's extended precision.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/math.h"

namespace motet {
namespace {

enum class Function { kLog, kExp, kPow };

struct Row {
  Function function;
  uint64_t x, y, result;
};

constexpr Row kTable[] = {
#include "base/math_table.inc"
};

double ours(const Row& row) {
  double x = std::bit_cast<double>(row.x), y = std::bit_cast<double>(row.y);
  switch (row.function) {
    case Function::kLog: return stable_log(x);
    case Function::kExp: return stable_exp(x);
    case Function::kPow: return stable_pow(x, y);
  }
  return 0;
}

long double true_value(const Row& row) {
  long double x = std::bit_cast<double>(row.x), y = std::bit_cast<double>(row.y);
  switch (row.function) {
    case Function::kLog: return std::log(x);
    case Function::kExp: return std::exp(x);
    case Function::kPow: return std::pow(x, y);
  }
  return 0;
}

TEST(MathTable, IsMatchedBitForBit) {
  EXPECT_EQ(std::size(kTable), 200u);
  for (const Row& row : kTable) {
    ASSERT_EQ(std::bit_cast<uint64_t>(ours(row)), row.result)
        << "row " << &row - kTable << ": x " << std::bit_cast<double>(row.x) << ", y " << std::bit_cast<double>(row.y);
  }
}

TEST(MathTable, IsTrue) {
  for (const Row& row : kTable) {
    double result = std::bit_cast<double>(row.result);
    long double truth = true_value(row);
    if (std::isinf(result)) {
      EXPECT_GT(truth, std::numeric_limits<double>::max());
      continue;
    }
    // pow is exp(y log x): the rounding of the product is multiplied by its size.
    long double error = 1e-15L;
    if (row.function == Function::kPow) error += std::fabs(std::log(truth)) * 2.3e-16L;
    if (truth == 0) error = 0;
    EXPECT_LE(std::fabs(result - truth), error * std::fabs(truth) + std::numeric_limits<double>::denorm_min())
        << "row " << &row - kTable;
  }
}

}  // namespace
}  // namespace motet
