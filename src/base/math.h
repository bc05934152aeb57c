// log, exp and pow of our own, bit-identical on every machine: the C library's differ between versions, and a replayed
// decision must not. Built with -ffp-contract=off; tested against a committed table. Relative error over the normal
// range: below 1e-15 for log and exp; for pow below 1e-15 + 2.3e-16 |y ln x|, as exp multiplies the rounding of its
// argument. Domain: stable_log(x <= 0) aborts; stable_exp overflows to infinity and underflows to 0.
#pragma once

namespace motet {

double stable_log(double x);
double stable_exp(double x);
// exp(y * log(x)). REQUIRES: x > 0.
double stable_pow(double x, double y);

}  // namespace motet
