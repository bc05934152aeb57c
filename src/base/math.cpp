// Argument reduction and polynomials after FreeBSD msun's e_log.c and e_exp.c (Sun Microsystems, 1993), in plain IEEE
// operations only.
#include "base/math.h"

#include <bit>
#include <cstdint>
#include <limits>

#include "base/check.h"

namespace motet {
namespace {

constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;

// 2^k * x without overflow on the way, for results in range.
double scale(double x, int k) {
  while (k > 1000) { x *= 0x1p1000; k -= 1000; }
  while (k < -1000) { x *= 0x1p-1000; k += 1000; }
  return x * std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}

}  // namespace

double stable_log(double x) {
  MOTET_CHECK(x > 0, "stable_log of a number that is not positive");
  if (x == std::numeric_limits<double>::infinity()) return x;
  int k = 0;
  if (x < std::numeric_limits<double>::min()) { x *= 0x1p54; k -= 54; }
  uint64_t bits = std::bit_cast<uint64_t>(x);
  k += static_cast<int>(bits >> 52) - 1023;
  uint64_t fraction = bits & 0xFFFFFFFFFFFFFu;
  // m in [sqrt(1/2), sqrt(2)): above 1.41421... halve it.
  int carry = fraction > 0x6A09E667F3BCCu ? 1 : 0;
  k += carry;
  double m = std::bit_cast<double>(fraction | (static_cast<uint64_t>(1023 - carry) << 52));
  double f = m - 1.0;
  double s = f / (2.0 + f);
  double z = s * s;
  double w = z * z;
  double t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  double t2 = z * (6.666666666666735130e-01 +
                   w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  double half_square = 0.5 * f * f;
  double dk = k;
  return dk * kLn2High - ((half_square - (s * (half_square + (t1 + t2)) + dk * kLn2Low)) - f);
}

double stable_exp(double x) {
  if (x != x) return x;
  if (x > 709.782712893383973096) return std::numeric_limits<double>::infinity();
  if (x < -745.13321910194110842) return 0.0;
  int k = static_cast<int>(x * 1.44269504088896338700 + (x < 0 ? -0.5 : 0.5));
  double high = x - k * kLn2High;
  double low = k * kLn2Low;
  double r = high - low;
  double t = r * r;
  double c = r - t * (1.66666666666666019037e-01 +
                      t * (-2.77777777770155933842e-03 +
                           t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
  double y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
  return scale(y, k);
}

double stable_pow(double x, double y) { return stable_exp(y * stable_log(x)); }

}  // namespace motet
