// Random: a seeded stream of numbers, the same on every machine and compiler. A stream is named, so that a new consumer does
// not shift the numbers of an old one: Random(seed, "arrivals"). xoshiro256++ (Blackman and Vigna, 2019) seeded by
// splitmix64. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace motet {

class Random {
 public:
  Random(uint64_t seed, std::string_view stream);

  uint64_t next();
  // Uniform in [0, bound). REQUIRES: bound > 0. Unbiased.
  uint64_t below(uint64_t bound);
  // Uniform in [low, high]. REQUIRES: low <= high.
  int64_t between(int64_t low, int64_t high);
  // Uniform in [0, 1), 53 bits.
  double uniform();
  bool chance(double probability) { return uniform() < probability; }
  // Exponential with the given mean > 0; uses base/math.h, so it is bit-stable.
  double exponential(double mean);

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace motet
